// The algorithms behind kernels/conv2d.h. Each returns an empty plan where it cannot do the convolution, or where it
// makes no sense. Every plan does the epilogue.
#pragma once

#include "kernels/conv2d.h"

namespace ganforge {

// --- CPU
/// conv_direct.cpp: plain loops.
ConvPlan<CpuStream> plan_conv_direct(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_onednn.cpp: oneDNN.
ConvPlan<CpuStream> plan_conv_onednn(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_gemm.cpp: a filter as large as the image, or 1×1: one matrix product.
ConvPlan<CpuStream> plan_conv_gemm(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_gather.cpp: few channels of x (C ≤ 4): R·S·C columns and a gather.
ConvPlan<CpuStream> plan_conv_gather(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_grouped.cpp: stride 1 in groups of 16 channels.
ConvPlan<CpuStream> plan_conv_grouped(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_winograd.cpp: 4×4 stride 2 padding 1 by polyphase Winograd.
ConvPlan<CpuStream> plan_conv_winograd(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);

// --- CUDA
/// conv_direct.cu: plain loops.
ConvPlan<CudaStream> plan_conv_direct(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_cudnn.cu: cuDNN.
ConvPlan<CudaStream> plan_conv_cudnn(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_gemm.cu: a filter as large as the image, or 1×1: one matrix product.
ConvPlan<CudaStream> plan_conv_gemm(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_ends.cu: 4×4 stride 2 padding 1, forward and input, few channels of x (C ≤ 4): bound by memory.
ConvPlan<CudaStream> plan_conv_ends(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);
/// conv_subpixel.cu: 4×4 stride 2 padding 1 by sub-pixel phases, on tensor cores in the lower precisions.
ConvPlan<CudaStream> plan_conv_subpixel(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);

}  // namespace ganforge
