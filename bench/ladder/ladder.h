// The rungs of the ladder: one kernel family after another, from the plain loop to the product's kernel, and beside
// them the designs of public peers, rebuilt from their descriptions. Each rung is a file of its own. All tensors are
// float32 and row-major; sizes are multiples of what a rung's file says.
#pragma once

#include <ganforge/stream.h>

#include <vector>

namespace ganforge::ladder {

/// y = leaky(x·wᵀ + b):  x [m, k]  w [n, k]  b [n]  →  y [m, n]
struct LinearProblem {
  const float *x, *w, *b;
  float* y;
  int m, n, k;
  float slope;
};
void linear_1_naive(const CudaStream&, const LinearProblem&);
void linear_2_coalesced(const CudaStream&, const LinearProblem&);
void linear_3_shared(const CudaStream&, const LinearProblem&);
void linear_4_registers(const CudaStream&, const LinearProblem&);
void linear_5_vectors(const CudaStream&, const LinearProblem&);
void linear_6_async(const CudaStream&, const LinearProblem&);
void linear_7_mma(const CudaStream&, const LinearProblem&);

/// Transposed convolution, 4×4, stride 2, padding 1:  x [n, h, w, in]  f [in, 4, 4, out]  b [out]  →  y [n, 2h, 2w,
/// out]
///   y[n, 2p − 1 + r, 2q − 1 + s, c] ← leaky(Σ x[n, p, q, i] · f[i, r, s, c] + b[c])
struct TransposedProblem {
  const float *x, *f, *b;
  float* y;
  int n, h, w, in, out;
  float slope;
};
void transposed_1_naive(const CudaStream&, const TransposedProblem&);
void transposed_2_subpixel(const CudaStream&, const TransposedProblem&);
void transposed_3_shared(const CudaStream&, const TransposedProblem&);
void transposed_4_registers(const CudaStream&, const TransposedProblem&);
void transposed_5_async(const CudaStream&, const TransposedProblem&);
void transposed_6_mma(const CudaStream&, const TransposedProblem&);

// --- peers: what follows a product in passes of its own ---

/// y += b, then y = leaky(y), of y [rows, channels]: two launches.
void peer_bias_then_act(const CudaStream&, float* y, const float* b, int rows, int channels, float slope);
/// The same in one launch.
void peer_bias_act(const CudaStream&, float* y, const float* b, int rows, int channels, float slope);
/// dx = dy ⊙ leaky′(y)
void peer_act_grad(const CudaStream&, const float* dy, const float* y, float* dx, int size, float slope);
/// db = Σ_rows dy:  dy [rows, channels]
void peer_bias_grad(const CudaStream&, const float* dy, float* db, int rows, int channels);

/// The transposed convolution by way of `columns` [n·h·w, 16·out], a product of x and f that is there: they are
/// gathered into y, without bias.
void peer_gather_columns(const CudaStream&, const TransposedProblem&, const float* columns);

/// Training batch norm of x [n, channels, pixels], then LeakyReLU, with the statistics: three launches.
struct PeerBatchNorm {
  const float *x, *gamma, *beta;
  float *y, *mean, *var;
  int n, channels, pixels;
  float eps, slope;
};
void peer_batch_norm(const CudaStream&, const PeerBatchNorm&);

/// Adam with a moving average of the weights.
struct PeerAdam {
  float *w, *m, *v, *ema;
  const float* g;
  float lr, beta1, beta2, eps, decay;
  int step;  ///< from 1
  int size;
};
/// Two launches for each tensor. `tensors` are the sizes of the parts of the buffers.
void peer_adam_per_tensor(const CudaStream&, const PeerAdam&, const std::vector<int>& tensors);
/// Eight launches, one for each elementwise operation. `scratch` has the size of w.
void peer_adam_in_passes(const CudaStream&, const PeerAdam&, float* scratch);

}  // namespace ganforge::ladder
