/* narrow: post-training quantization. The C interface of libnarrow.
 *
 * Conventions
 *
 *   Errors     Functions return NARROW_OK or one of the codes below, and then
 *              narrow_error() says in a sentence what is wrong. Outputs are
 *              only written on NARROW_OK, unless said otherwise. Nothing a
 *              caller passes ends the process, except pointers that do not
 *              point to what is asked for.
 *   Ownership  Every buffer belongs to the caller and is used only during the
 *              call: nothing of it is kept, and no memory of the library's is
 *              handed out, so there is nothing to free but handles.
 *   Handles    Objects of the library are handles, never 0, which
 *              narrow_free() ends. A handle that was freed is refused.
 *   Threads    All functions may be called from any thread. One histogram,
 *              range or quantizer is for one thread at a time; convolutions,
 *              requantizations and sessions may be used by many at once.
 *   Layout     Arrays are without gaps. "[a][b]" means row-major. Images are
 *              channels-last: [height][width][channels].
 */
#ifndef NARROW_H
#define NARROW_H

#include <stddef.h>
#include <stdint.h>

#ifndef NARROW_CONST
#define NARROW_CONST const
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return. */
enum {
  NARROW_OK = 0,
  NARROW_ARGUMENT = 1, /* an argument is wrong: a null pointer, a size, an option, a handle */
  NARROW_MODEL = 2,    /* the model cannot be read, or holds what is not supported */
  NARROW_DATA = 3,     /* the data do not fit the model, or are not finite numbers */
  NARROW_FILE = 4,     /* a file cannot be opened, read or written */
  NARROW_SPACE = 5,    /* a buffer is too small; the size it needs has been written */
  NARROW_INTERNAL = 6  /* a fault of the library */
};

/* Element types; the numbers are ONNX's. */
enum {
  NARROW_FLOAT32 = 1, NARROW_UINT8 = 2, NARROW_INT8 = 3, NARROW_UINT16 = 4, NARROW_INT16 = 5, NARROW_INT32 = 6,
  NARROW_INT64 = 7, NARROW_BOOL = 9, NARROW_FLOAT16 = 10, NARROW_FLOAT64 = 11, NARROW_UINT32 = 12, NARROW_UINT64 = 13
};

typedef uintptr_t narrow_handle;

enum { NARROW_MAX_RANK = 8 };

/* A tensor in the caller's memory. */
typedef struct {
  void *data;
  size_t bytes; /* size of data */
  int32_t dtype;
  int32_t rank;
  int64_t shape[NARROW_MAX_RANK];
} narrow_tensor;

/* The library's version, "0.1.0". Valid for ever. */
const char *narrow_version(void);

/* Describes the last error of the calling thread, "" if there was none. Valid
 * until the thread's next call. */
const char *narrow_error(void);

/* Ends an object of any kind. 0 is ignored. */
int narrow_free(narrow_handle handle);

/* ---- Kernels on the caller's buffers ---------------------------------- */

/* Least and greatest of n numbers, and how many are NaN (which are left out).
 * With no number at all *lo is +Inf and *hi is -Inf. Infinities count. */
int narrow_minmax(NARROW_CONST float *x, size_t n, float *lo, float *hi, size_t *nan);

/* A histogram of bins (1 to 2^20) of equal width on [lo, hi], which must be
 * finite, lo < hi. Bin floor((x - lo) * bins / (hi - lo)); hi belongs to the
 * last. Exact zeros are counted apart, in no bin. */
int narrow_histogram_new(float lo, float hi, size_t bins, narrow_handle *histogram);

/* Counts n numbers. */
int narrow_histogram_add(narrow_handle histogram, NARROW_CONST float *x, size_t n);

/* Adds the counts of another histogram of the same range and bins. */
int narrow_histogram_merge(narrow_handle histogram, narrow_handle other);

/* Writes the count of each bin, bins of them, and what is in no bin:
 * others[0] below the range, [1] above it, [2] NaN, [3] exact zeros. */
int narrow_histogram_counts(narrow_handle histogram, uint64_t *counts, size_t bins, uint64_t others[4]);

/* Quantizes x[outer][channels][inner] to q of element type dtype (NARROW_INT8,
 * UINT8, INT16 or UINT16): q = round(x / scale[c]) + zero[c], ties to even,
 * saturated; NaN gives the zero point: ONNX's QuantizeLinear. zero may be null
 * for zeros. Scales are positive and finite. */
int narrow_quantize(NARROW_CONST float *x, void *q, int dtype, size_t outer, size_t channels, size_t inner,
                    NARROW_CONST float *scale, NARROW_CONST int32_t *zero);

/* The way back, ONNX's DequantizeLinear: x = (q - zero[c]) * scale[c]. */
int narrow_dequantize(NARROW_CONST void *q, float *x, int dtype, size_t outer, size_t channels, size_t inner,
                      NARROW_CONST float *scale, NARROW_CONST int32_t *zero);

/* Both in one sweep: what x becomes on the integers from low to high, which
 * need not fill a type (-8 and 7 for 4 bits) but lie within 16 bits, signed
 * or unsigned. y may be x. */
int narrow_fake_quantize(NARROW_CONST float *x, float *y, size_t outer, size_t channels, size_t inner, NARROW_CONST float *scale,
                         NARROW_CONST int32_t *zero, int32_t low, int32_t high);

/* A rescaling of int32 sums[pixels][channels] to bytes in [lo, hi]: the result
 * of one of three kinds of arithmetic, plus zero, saturated.
 *   scale        round(sum * scale[c]) in float32, ties to even
 *   multiplier   (sum * mul[c] + 2^(shift[c]-1)) >> shift[c], in 64 bits; shift is 0 to 62
 *   shift        (sum + 2^(shift[c]-1)) >> shift[c]; shift is -30 to 31, below 0 to the left */
int narrow_requant_by_scale(NARROW_CONST float *scale, size_t channels, uint8_t zero, uint8_t lo, uint8_t hi, narrow_handle *requant);
int narrow_requant_by_multiplier(NARROW_CONST int32_t *mul, NARROW_CONST uint8_t *shift, size_t channels, uint8_t zero, uint8_t lo,
                                 uint8_t hi, narrow_handle *requant);
int narrow_requant_by_shift(NARROW_CONST int8_t *shift, size_t channels, uint8_t zero, uint8_t lo, uint8_t hi, narrow_handle *requant);

/* Rescales sums[pixels][channels] to q. */
int narrow_requantize(narrow_handle requant, NARROW_CONST int32_t *sums, uint8_t *q, size_t pixels);

/* A convolution's geometry. Padding counts rows and columns of the zero point. */
typedef struct {
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, groups;
  int32_t pad_top, pad_left, pad_bottom, pad_right;
} narrow_conv_spec;

/* An integer convolution with weights[out_channels][in_channels/groups][kernel_h][kernel_w]
 * and bias[out_channels] (or null). zero is the zero point of the bytes it will
 * be run on. For a signed tensor flip the top bit of each byte, and add 128 to
 * its zero point. */
int narrow_conv_new(NARROW_CONST int8_t *weights, NARROW_CONST int32_t *bias, uint8_t zero, size_t out_channels, size_t in_channels,
                    NARROW_CONST narrow_conv_spec *spec, narrow_handle *conv);

/* The product of matrices of bytes by b[k][n], as a convolution: run it with
 * height 1 and width m. */
int narrow_gemm_new(NARROW_CONST int8_t *b, NARROW_CONST int32_t *bias, uint8_t zero, size_t k, size_t n, narrow_handle *conv);

/* Size of the output for an image of that size. */
int narrow_conv_size(narrow_handle conv, size_t height, size_t width, size_t *out_height, size_t *out_width);

/* Runs a convolution on x[batch][height][width][in_channels]. Without requant
 * (0) y is int32_t[batch][out_height][out_width][out_channels], the sums; with
 * one it is uint8_t of that shape. y must not overlap x. */
int narrow_conv_run(narrow_handle conv, narrow_handle requant, NARROW_CONST uint8_t *x, size_t batch, size_t height, size_t width, void *y);

/* ---- Ranges of tensors ------------------------------------------------- */

/* What values a tensor takes: a histogram whose range grows with the values.
 * Its memory does not grow with their number. */
int narrow_range_new(narrow_handle *range);

/* Counts n numbers. NARROW_DATA if one is NaN or infinite. */
int narrow_range_add(narrow_handle range, NARROW_CONST float *x, size_t n);

/* Adds what another range has seen; the order of merging changes nothing. */
int narrow_range_merge(narrow_handle range, narrow_handle other);

/* The part of the range that a rule keeps: "max", "mse", "aa", "kl", "lp3",
 * "sigma4", "percentile:99.99", on a grid of 2 to 16 bits. [*lo, *hi] contains
 * zero; with is_signed it is symmetric, [-t, t]; otherwise it is [0, t]. */
int narrow_range_clip(narrow_handle range, NARROW_CONST char *rule, int bits, int is_signed, double *lo, double *hi);

/* Least and greatest number seen and how many; 0, 0 and 0 before any. */
int narrow_range_seen(narrow_handle range, double *lo, double *hi, uint64_t *count);

/* ---- Quantizing a model ------------------------------------------------ */

/* Opens the fp32 ONNX model at path for quantization, which goes on beside the
 * calls below, on threads of the library's, until narrow_free. options is null or a
 * JSON object of the choices that narrow quantize has as flags, with _ in place
 * of -, and those of how the work is done:
 *   "clip": "mse"          how ranges of activations are cut, as in narrow_range_clip;
 *                          or "auto", the rule that does the outputs least harm
 *   "weight_bits": 8       2 to 8
 *   "act_bits": 8          4 to 8, or 16
 *   "bits": {"conv1": [4, 8]}  bits of single nodes' weights and results
 *   "bits_op": {"Gemm": [8, 16]}  the same of all nodes of an operator
 *   "places": "auto"       which tensors become integers: or "weighted", "all"
 *   "per_channel": true    one scale for each output channel of the weights
 *   "signs": true          unsigned integers where a tensor is never negative
 *   "equalize": true       balance channels between neighbouring layers
 *   "compensate": true     round weights so that their errors cancel
 *   "bias_correction": false  take the mean error of rounding out of the biases
 *   "saturation_safe": true  neighbouring weights of at most 128 together, so that the
 *                          file means the same without VNNI
 *   "shift": false         make every rescaling a shift of bits; "scales": every scale
 *                          a power of two as well
 *   "no_round": false      leave out rounding and clipping, to check the pipeline
 *   "asymmetric": null     a zero point for the signed activations whose noise it
 *                          lessens; true: for all, false: for the inputs alone
 *   "for": ""              a target that is to run the model, like "onnxruntime": what it
 *                          needs is done, what it does not take is an error
 *   "format": "qdq"        or "qoperator"
 *   "exclude": ["node"]    nodes to leave in float; * and ** stand for any characters
 *   "exclude_op": ["Softmax"]  all nodes of an operator
 *   "auto_exclude": 0      nodes whose own signal-to-noise ratio is under so many dB
 *   "target": ""           "30dB" or "99%": choose what stays in float, rules and zero
 *                          points so that it is reached
 *   "cost": "macs"         what "target" keeps low: or "size"
 *   "holdout": 10          percent of the inputs that the result is measured on
 *   "min_sqnr": 0          fail if an output comes under so many dB
 *   "min_agreement": 0     fail if less than so many percent of the classes agree
 *   "batch": 16            inputs that calibration runs at once
 *   "threads": 0           0 for all processors
 * The values shown, but those of bits, bits_op, exclude and exclude_op, are what is
 * taken if the field is absent. */
int narrow_quantizer_open(NARROW_CONST char *path, NARROW_CONST char *options, narrow_handle *quantizer);

/* Adds calibration inputs: inputs[i] is a batch for the model's i-th input, with
 * the count on axis 0, of the model's type; bytes is the size of data, and must be
 * that of the shape. They are copied and calibrated on as they come; only the
 * first 256 are kept, so memory does not grow with their number. Up to 64 wait for
 * their turn: an error in them is returned by a later feed or by finish. Dimensions
 * that the model leaves open must be the same in all calls. NARROW_DATA if a shape
 * or type is not the model's, NARROW_ARGUMENT after finish. */
int narrow_quantizer_feed(narrow_handle quantizer, NARROW_CONST narrow_tensor *inputs, size_t input_count);

/* Quantizes with what was fed, and writes the integer model to path; nothing is
 * left there on an error. It is the model, byte for byte, that narrow quantize
 * writes for the same inputs. May be called again, for another path; nothing
 * can be fed any more. */
int narrow_quantizer_finish(narrow_handle quantizer, NARROW_CONST char *path);

/* Writes what became of the model to text as JSON, the object that narrow quantize
 * --json prints without its file and time: nodes on integers and in float, with
 * the reasons, the dB of every output, agreement, verdict, warnings, what a target
 * has looked at. Finishes if that was not done. As for narrow_describe:
 * NARROW_SPACE if it takes more than capacity bytes. */
int narrow_quantizer_result(narrow_handle quantizer, char *text, size_t capacity, size_t *needed);

/* Writes a report for people to path, an HTML file: that of narrow quantize
 * --report without what other choices would give. Finishes if that was not done. */
int narrow_quantizer_report(narrow_handle quantizer, NARROW_CONST char *path);

/* ---- Running a model --------------------------------------------------- */

/* Opens an ONNX model, fp32 or quantized, to run it on so many threads, 0 for
 * all processors. */
int narrow_session_open(NARROW_CONST char *path, int threads, narrow_handle *session);

/* Runs the model. Inputs are complete; of outputs, data and bytes are what the
 * caller has, and dtype, rank and shape are written. NARROW_SPACE if bytes is
 * too small for one of them: their dtype, rank and shape are written then too. */
int narrow_session_run(narrow_handle session, NARROW_CONST narrow_tensor *inputs, size_t input_count, narrow_tensor *outputs, size_t output_count);

/* Describes the inputs and outputs of a session's or quantizer's model as JSON:
 *   {"inputs":[{"name":"x","dtype":1,"shape":[-1,3,32,32]}],"outputs":[...]}
 * with -1 for an open dimension and 0 for an unknown dtype; shape is null if
 * the rank is unknown. Writes the text and a final 0 to text, which has
 * capacity bytes, and the bytes that takes to *needed (which may be null).
 * NARROW_SPACE if that is more. */
int narrow_describe(narrow_handle handle, char *text, size_t capacity, size_t *needed);

#ifdef __cplusplus
}
#endif
#endif
