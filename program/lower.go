package program

// lowerers has the fast way of each operator that has one.
var lowerers map[string]lowerer

func init() { // not an initializer: lowering a node may lower the nodes before it
	lowerers = map[string]lowerer{
		"QuantizeLinear": lowerQuantize, "DequantizeLinear": lowerDequantize,

		"Conv": lowerConv, "ConvTranspose": lowerConvTranspose,

		"Gemm":   lowerProduct,
		"MatMul": lowerProduct,

		"MatMulNBits": lowerNBits,

		"MaxPool":           lowerPool,
		"AveragePool":       lowerPool,
		"GlobalAveragePool": lowerPool,
		"ReduceMean":        lowerPool,

		"Add": lowerBinary, "Sub": lowerBinary, "Mul": lowerBinary, "Div": lowerBinary, "Max": lowerBinary, "Min": lowerBinary,

		"Relu": lowerUnary, "Clip": lowerUnary, "LeakyRelu": lowerUnary, "Sigmoid": lowerUnary, "Tanh": lowerUnary, "Erf": lowerUnary,
		"Exp": lowerUnary, "HardSwish": lowerUnary, "HardSigmoid": lowerUnary, "Neg": lowerUnary, "Gelu": lowerUnary, "Swish": lowerUnary,

		"QLinearConv": lowerQLinearConv, "QLinearMatMul": lowerQLinearMatMul, "QGemm": lowerQGemm,
		"QLinearAdd": lowerQLinearBinary, "QLinearMul": lowerQLinearBinary,
		"QLinearGlobalAveragePool": lowerQLinearPool, "QLinearAveragePool": lowerQLinearPool,
		"QLinearSigmoid": lowerQLinearTable, "QLinearLeakyRelu": lowerQLinearTable,
		"QLinearConcat": lowerQLinearConcat,

		"BatchNormalization": lowerBatchNorm,
		"LayerNormalization": lowerLayerNorm,
		"RMSNormalization":   lowerLayerNorm,
		"Softmax":            lowerSoftmax,

		"Identity": lowerAlias, "Dropout": lowerAlias,
		"Reshape": lowerReshape, "Flatten": lowerReshape, "Squeeze": lowerReshape, "Unsqueeze": lowerReshape,
		"Transpose": lowerTranspose,
		"Slice":     lowerSlice, "Split": lowerSplit, "Concat": lowerConcat, "Pad": lowerPad,
		"Resize": lowerResize, "Upsample": lowerResize,
	}
}
