// Command train writes the pictures that train.py trains the demo's network on.
package main

import (
	"flag"
	"io"
	"log"
	"path/filepath"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/demo"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/tensor"
)

// trainSeed differs from the seeds that calibration and test use.
const trainSeed = 1

func main() {
	dir := flag.String("o", "build", "folder to write to")
	n := flag.Int("n", 20000, "pictures to train with")
	flag.Parse()
	x, y := demo.Draw(*n, trainSeed)
	testX, testY := demo.Test(2000)
	for name, t := range map[string]*tensor.Tensor{"train_x": x, "train_y": y, "test_x": testX, "test_y": testY} {
		path := filepath.Join(*dir, name+".npy")
		if err := atomicfile.Write(path, func(w io.Writer) error { return dataset.WriteNPY(w, t) }); err != nil {
			log.Fatal(err)
		}
	}
}
