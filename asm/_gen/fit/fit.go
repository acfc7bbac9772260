// Package fit holds the polynomials of the transcendental functions, which are
// the same on every processor.
package fit

// Coefficients, lowest power first, fitted for least greatest error on the
// interval given; the error beside is that of the function approximated.
var (
	// (e^r-1-r)/r² on [-ln2/2, ln2/2]: 3e-9 relative.
	Exp = []float64{0.4999999403953552, 0.1666651964187622, 0.04166839271783829, 0.008368780836462975, 0.001381446490995586}
	// (tanh(x)/x-1)/x² in x² on [0, 0.6]: 3e-9 relative.
	Tanh = []float64{-0.33333298563957214, 0.13331958651542664, -0.05378668010234833, 0.020805377513170242, -0.00590586056932807}
	// erf(x)/x in x² on [0, 1]: 1e-9.
	Erf = []float64{1.1283791065216064, -0.3761262595653534, 0.11283600330352783, -0.026854444295167923, 0.005189535208046436, -0.0008020841050893068, 7.889119297033176e-05}
	// -log(1-erf(x)) on [1, 4]: 1e-9 of erf.
	ErfTail = []float64{0.00035370892146602273, 1.1270400285720825, 0.6382256150245667, 0.10303743183612823, -0.021805351600050926, 0.0029396156314760447, -0.0001855748996604234}
	// -log(erfc(x/sqrt(2))) on [0, 5.5]: 2e-8 of erfc.
	GeluTail = []float64{-1.505072155794096e-08, 0.7978857159614563, 0.3182965815067291, 0.036393746733665466, -0.004904416389763355, 0.00010118764475919306, 0.0001264903839910403, -2.675892937986646e-05, 1.920345766848186e-06}
)

// Where the functions change from one formula to the other.
const (
	TanhSmall = 0.6 // up to here tanh is the polynomial
	ErfSmall  = 1   // up to here erf is the first polynomial
	ErfOne    = 4   // from here on erf rounds to 1
	GeluEnd   = 5.5 // up to here the polynomial is good, and grows by GeluGrowth for each 1 beyond
	GeluLimit = 17  // from here on the smaller part of Gelu is less than any number that matters
)

// GeluGrowth is about how fast -log(erfc(x/sqrt(2))) grows at GeluEnd.
const GeluGrowth = 6
