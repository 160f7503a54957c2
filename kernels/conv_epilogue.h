// What follows a convolution: bias, activation and mask over its result, while that is in a cache.
#pragma once

#include "kernels/conv2d.h"

namespace ganforge {

/// out ← act(out + bias), or with a mask (out + bias) ⊙ act′(mask), where `epilogue` says so:
/// out [rows, channels]  bias [channels]  mask [rows, channels]. On the calling thread.
void conv_epilogue(const CpuStream& stream, const ConvEpilogue& epilogue, std::int64_t rows, std::int64_t channels,
                   const float* bias, const float* mask, float* out);

/// The same by all threads of the stream.
void conv_epilogue_shared(const CpuStream& stream, const ConvEpilogue& epilogue, std::int64_t rows,
                          std::int64_t channels, const float* bias, const float* mask, float* out);

}  // namespace ganforge
