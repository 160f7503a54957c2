// A discriminator's head: its last layer, of one output, with the loss behind it and the gradient of that in one pass
// over the layer's input. On CUDA alone; gan_loss.h has the losses.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/objective.h>
#include <ganforge/stream.h>

#include <cstddef>
#include <cstdint>

namespace ganforge {

/// logits = x·w + b; loss, dlogits and statistics as discriminator_loss() or generator_loss() make them;
/// dx[r, i] = dlogits[r]·w[i]·act′(x[r, i]), `act` being the activation whose output x is (none: no mask).
struct HeadArgs {
  const float* x;                     // [rows, in]
  const float* w;                     // [in]
  const float* b;                     // scalar or null
  float* loss;                        // scalar
  float* dlogits;                     // [rows]
  float* dx;                          // [rows, in]
  float *d_real, *d_fake, *accuracy;  // scalars, of the discriminator
  std::int64_t rows, in;              // discriminator: the first half of the rows is real
  bool discriminator;                 // else generator
  Objective objective;
  float real_target;
  Activation act;
  void* workspace;   // head_workspace() bytes, any content
  unsigned* ticket;  // zero before the first launch; the kernel leaves it zero
};
std::size_t head_workspace(std::int64_t rows, std::int64_t in);
void head(const CudaStream& stream, const HeadArgs& args);

}  // namespace ganforge
