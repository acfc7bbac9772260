module github.com/narrow-ml/narrow

go 1.26.0

require (
	golang.org/x/image v0.47.0
	golang.org/x/sys v0.49.0
	google.golang.org/protobuf v1.36.12
)

require gonum.org/v1/gonum v0.17.0
