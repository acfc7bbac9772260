package main

// poolF32 writes the pools, over channels that are next to each other: four at
// once, then single ones.
func poolF32(f *file) {
	pool(f, "Max", "fmax.4s", 0xff800000)
	pool(f, "Sum", "fadd.4s", 0)
}

func pool(f *file, name, op string, start uint32) {
	const (
		dst X = iota
		src
		rows
		cols
		rowStep
		colStep
		n
		y
		x
		rowPtr
		ptr
		tmp
	)
	const acc, in, first, scale V = 0, 1, 2, 3
	fn := f.function("pool"+name+"F32NEON", "is pool"+name+"F32.", "dst, src []float32, rows, cols, rowStep, colStep int, scale float32", "")
	fn.arg("dst", "base", dst)
	fn.arg("dst", "len", n)
	fn.arg("src", "base", src)
	fn.arg("rows", "", rows)
	fn.arg("cols", "", cols)
	fn.arg("rowStep", "", rowStep)
	fn.arg("colStep", "", colStep)
	fn.line("LSL $2, %s, %s", rowStep, rowStep)
	fn.line("LSL $2, %s, %s", colStep, colStep)
	fn.broadcast("scale", scale)
	fn.constant(start, tmp, first)

	channels := func(lanes int, mov string) {
		fn.op("orr.16b", acc, first, first)
		row, col, empty := fn.newLabel("row"), fn.newLabel("col"), fn.newLabel("empty")
		fn.line("CBZ %s, %s", rows, empty)
		fn.line("CBZ %s, %s", cols, empty)
		fn.line("MOVD %s, %s", src, rowPtr)
		fn.line("MOVD %s, %s", rows, y)
		fn.at(row)
		fn.line("MOVD %s, %s", rowPtr, ptr)
		fn.line("MOVD %s, %s", cols, x)
		fn.at(col)
		fn.line("%s (%s), %s", mov, ptr, in.F())
		fn.op(op, acc, acc, in)
		fn.line("ADD %s, %s, %s", colStep, ptr, ptr)
		fn.line("SUBS $1, %s, %s", x, x)
		fn.line("BNE %s", col)
		fn.line("ADD %s, %s, %s", rowStep, rowPtr, rowPtr)
		fn.line("SUBS $1, %s, %s", y, y)
		fn.line("BNE %s", row)
		fn.at(empty)
		fn.op("fmul.4s", acc, acc, scale)
		fn.line("%s.P %s, %d(%s)", mov, acc.F(), 4*lanes, dst)
		fn.add(4*lanes, src)
	}
	four, one, single, end := fn.newLabel("four"), fn.newLabel("one"), fn.newLabel("single"), fn.newLabel("end")
	fn.line("SUBS $4, %s, %s", n, n)
	fn.line("BLT %s", one)
	fn.at(four)
	channels(4, "FMOVQ")
	fn.line("SUBS $4, %s, %s", n, n)
	fn.line("BGE %s", four)
	fn.at(one)
	fn.line("ADDS $4, %s, %s", n, n)
	fn.line("BEQ %s", end)
	fn.at(single)
	channels(1, "FMOVS")
	fn.line("SUBS $1, %s, %s", n, n)
	fn.line("BNE %s", single)
	fn.at(end)
	fn.done()
}
