package engine_test
import ("testing";"fmt";"time";"context";"os";"strings";"github.com/narrow-ml/narrow/engine";"github.com/narrow-ml/narrow/tensor")
func TestZZ(t *testing.T){
 for _,m:=range sharedModels{
  if s:=os.Getenv("ZZ");s!=""&&!strings.Contains(m.name,s){continue}
  g:=m.graph(t)
  for _,batch:=range []int{1,16}{
   net:=compile(t,g,engine.WithThreads(1))
   x:=m.inputs(t,16)
   if x.Shape()[0]<batch {continue}
   ins:=[]*tensor.Tensor{x.Rows(0,batch)}
   outs:=[]*tensor.Tensor{run(t,net,ins[0])}
   best:=time.Duration(1<<60)
   dur:=400*time.Millisecond
   if os.Getenv("ZZLONG")!="" {dur=4*time.Second}
   t0:=time.Now()
   for time.Since(t0)<dur{ s:=time.Now(); net.RunInto(context.Background(),outs,ins); best=min(best,time.Since(s))}
   fmt.Printf("%s batch %d best %.0f images/s\n",m.name,batch,float64(batch)/best.Seconds())
  }
 }
}
