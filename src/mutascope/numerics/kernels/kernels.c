/* The operations of fma32-1 on a CPU (docs/numerics.md is their specification; mutascope.numerics.cpu calls them).

   All numbers are float32, all arrays dense and row by row where no stride is given. With `to_half`, what torch would
   write in bfloat16 is rounded to it and kept in float32. NaN and inf pass through. */

#include "lanes.h"
#include "threads.h"
#include "functions.h"
#include "linear.h"
#include "norm.h"
#include "attention.h"
#include "sample.h"
#include "candidates.h"
