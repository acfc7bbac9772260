FROM scratch
COPY narrow /narrow
ENTRYPOINT ["/narrow"]
