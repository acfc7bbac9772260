//go:build arm64 && !purego

package asm

var statsARM64 = []kernel{
	{"minMaxF32", NEON, 16, minMaxF32NEON},
	{"momentsF32", NEON, 16, momentsF32NEON},
	{"histogramF32", NEON, 16, histogramF32NEON},
	{"histogramMagF32", NEON, 16, histogramMagF32NEON},
	{"quantizeF32S8", NEON, 16, quantizeF32S8NEON},
	{"quantizeF32U8", NEON, 16, quantizeF32U8NEON},
	{"quantizeF32S16", NEON, 16, quantizeF32S16NEON},
	{"quantizeF32U16", NEON, 16, quantizeF32U16NEON},
	{"dequantizeS8F32", NEON, 16, dequantizeS8F32NEON},
	{"dequantizeU8F32", NEON, 16, dequantizeU8F32NEON},
	{"dequantizeS16F32", NEON, 16, dequantizeS16F32NEON},
	{"dequantizeU16F32", NEON, 16, dequantizeU16F32NEON},
	{"dequantizeS32F32", NEON, 16, dequantizeS32F32NEON},
	{"quantizeDequantizeF32", NEON, 16, quantizeDequantizeF32NEON},
	{"quantizeChannelsF32S8", NEON, 16, quantizeChannelsF32S8NEON},
	{"quantizeChannelsF32U8", NEON, 16, quantizeChannelsF32U8NEON},
	{"quantizeChannelsF32S16", NEON, 16, quantizeChannelsF32S16NEON},
	{"quantizeChannelsF32U16", NEON, 16, quantizeChannelsF32U16NEON},
	{"dequantizeChannelsS8F32", NEON, 16, dequantizeChannelsS8F32NEON},
	{"dequantizeChannelsU8F32", NEON, 16, dequantizeChannelsU8F32NEON},
	{"dequantizeChannelsS16F32", NEON, 16, dequantizeChannelsS16F32NEON},
	{"dequantizeChannelsU16F32", NEON, 16, dequantizeChannelsU16F32NEON},
	{"dequantizeChannelsS32F32", NEON, 16, dequantizeChannelsS32F32NEON},
	{"quantizeDequantizeChannelsF32", NEON, 16, quantizeDequantizeChannelsF32NEON},
	{"errorAbsF32", NEON, 16, errorAbsF32NEON},
	{"errorSquareF32", NEON, 16, errorSquareF32NEON},
	{"errorFourthF32", NEON, 16, errorFourthF32NEON},
}
