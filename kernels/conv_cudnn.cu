// cuDNN's convolutions, channels last: in exact float32 (FMA), or with TF32 for the lower precisions (its bfloat16
// takes operands stored so). Of its algorithms only those that add in a fixed order are asked for, in a fixed order:
// backward data 0 and backward filter 0 and 3 add with atomics, and what cuDNN's own heuristic names may change from
// call to call.
#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.cuh"
#include "src/core/cuda_cudnn.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <memory>
#include <type_traits>

namespace ganforge {
namespace {

template <class Descriptor>
using Owner = std::unique_ptr<std::remove_pointer_t<Descriptor>, cudnnStatus_t (*)(Descriptor)>;

/// The library outlives the descriptors.
struct Prepared {
  std::shared_ptr<const Cudnn> dnn;
  Owner<cudnnTensorDescriptor_t> x, y;
  Owner<cudnnFilterDescriptor_t> w;
  Owner<cudnnConvolutionDescriptor_t> convolution;
  cudnnConvolutionFwdAlgo_t forward{};
  cudnnConvolutionBwdDataAlgo_t input{};
  cudnnConvolutionBwdFilterAlgo_t weight{};
  std::size_t workspace = 0;
};

bool fits(const ConvShape& c) {
  for (std::int64_t size : {c.n, c.h, c.w, c.c, c.k, c.r, c.s, c.p, c.q}) {
    if (size < 1) return false;
  }
  // cuDNN takes int, for strides too. It pads both sides alike: with as many rows below as above, y must come out as
  // high as it is; fewer are as good where the stride leaves them unused.
  const auto outputs = [](std::int64_t in, std::int64_t pad, std::int64_t filter, std::int64_t dilation,
                          std::int64_t stride) {
    const std::int64_t span = in + 2 * pad - (filter - 1) * dilation - 1;
    return span < 0 ? 0 : span / stride + 1;
  };
  return std::max({c.x_size(), c.w_size(), c.y_size()}) <= std::numeric_limits<int>::max() &&
         std::min(c.pad_top, c.pad_left) >= 0 && outputs(c.h, c.pad_top, c.r, c.dilation_h, c.stride_h) == c.p &&
         outputs(c.w, c.pad_left, c.s, c.dilation_w, c.stride_w) == c.q;
}

std::shared_ptr<Prepared> prepare(std::shared_ptr<const Cudnn> library, Precision precision, const ConvShape& c) {
  const Cudnn& dnn = *library;
  const auto make = [&]<class Descriptor>(cudnnStatus_t (*create)(Descriptor*), cudnnStatus_t (*destroy)(Descriptor)) {
    Descriptor descriptor = nullptr;
    dnn.check(create(&descriptor), "cuDNN: new descriptor");
    return Owner<Descriptor>(descriptor, destroy);
  };
  const auto size = [](std::int64_t n) { return static_cast<int>(n); };
  auto made = std::make_shared<Prepared>(
      Prepared{library, make(dnn.create_tensor, dnn.destroy_tensor), make(dnn.create_tensor, dnn.destroy_tensor),
               make(dnn.create_filter, dnn.destroy_filter), make(dnn.create_convolution, dnn.destroy_convolution)});
  dnn.check(
      dnn.set_tensor(made->x.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, size(c.n), size(c.c), size(c.h), size(c.w)),
      "cudnnSetTensor4dDescriptor");
  dnn.check(
      dnn.set_tensor(made->y.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, size(c.n), size(c.k), size(c.p), size(c.q)),
      "cudnnSetTensor4dDescriptor");
  dnn.check(dnn.set_filter(made->w.get(), CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, size(c.k), size(c.c / c.groups),
                           size(c.r), size(c.s)),
            "cudnnSetFilter4dDescriptor");
  dnn.check(dnn.set_convolution(made->convolution.get(), size(c.pad_top), size(c.pad_left), size(c.stride_h),
                                size(c.stride_w), size(c.dilation_h), size(c.dilation_w), CUDNN_CROSS_CORRELATION,
                                CUDNN_DATA_FLOAT),
            "cudnnSetConvolution2dDescriptor");
  dnn.check(dnn.set_groups(made->convolution.get(), size(c.groups)), "cudnnSetConvolutionGroupCount");
  const cudnnMathType_t math = precision == Precision::fp32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
  dnn.check(dnn.set_math(made->convolution.get(), math), "cudnnSetConvolutionMathType");
  return made;
}

/// The first of the algorithms that this card can do, with its workspace.
template <class Algorithm, class Workspace>
bool choose(std::initializer_list<Algorithm> algorithms, Algorithm& chosen, std::size_t& bytes, Workspace workspace) {
  for (Algorithm algorithm : algorithms) {
    if (workspace(algorithm, &bytes) != CUDNN_STATUS_SUCCESS) continue;
    chosen = algorithm;
    return true;
  }
  return false;
}

bool choose(ConvDirection direction, Prepared& p) {
  const Cudnn& dnn = *p.dnn;
  const auto x = p.x.get(), y = p.y.get();
  const auto w = p.w.get();
  const auto convolution = p.convolution.get();
  if (direction == ConvDirection::forward) {
    return choose({CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM},
                  p.forward, p.workspace, [&](auto algorithm, std::size_t* bytes) {
                    return dnn.forward_workspace(dnn.handle, x, w, convolution, y, algorithm, bytes);
                  });
  }
  if (direction == ConvDirection::input) {
    return choose({CUDNN_CONVOLUTION_BWD_DATA_ALGO_1}, p.input, p.workspace, [&](auto algorithm, std::size_t* bytes) {
      return dnn.backward_data_workspace(dnn.handle, w, y, convolution, x, algorithm, bytes);
    });
  }
  return choose({CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1}, p.weight, p.workspace, [&](auto algorithm, std::size_t* bytes) {
    return dnn.backward_filter_workspace(dnn.handle, x, y, convolution, w, algorithm, bytes);
  });
}

}  // namespace

ConvPlan<CudaStream> plan_conv_cudnn(const CudaStream& device, ConvDirection direction, const ConvShape& shape,
                                     const ConvEpilogue& epilogue) {
  if (!fits(shape)) return {};
  const std::shared_ptr<Prepared> prepared = prepare(device.libraries->cudnn(device), device.precision, shape);
  if (!choose(direction, *prepared)) return {};
  ConvPlan<CudaStream> plan;
  plan.algorithm = "cuDNN";
  plan.workspace = prepared->workspace;
  plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
    const Prepared& p = *prepared;
    const Cudnn& dnn = *p.dnn;
    const float one = 1.0f, zero = 0.0f;
    if (direction == ConvDirection::forward) {
      dnn.check(dnn.forward(dnn.handle, &one, p.x.get(), a.x, p.w.get(), a.w, p.convolution.get(), p.forward,
                            a.workspace, p.workspace, &zero, p.y.get(), a.out),
                "cudnnConvolutionForward");
      if (epilogue) launch_conv_epilogue(stream, {epilogue, a}, a.out, shape.n * shape.p * shape.q, shape.k);
    } else if (direction == ConvDirection::input) {
      dnn.check(dnn.backward_data(dnn.handle, &one, p.w.get(), a.w, p.y.get(), a.y, p.convolution.get(), p.input,
                                  a.workspace, p.workspace, &zero, p.x.get(), a.out),
                "cudnnConvolutionBackwardData");
      if (epilogue) launch_conv_epilogue(stream, {epilogue, a}, a.out, shape.n * shape.h * shape.w, shape.c);
    } else {
      dnn.check(dnn.backward_filter(dnn.handle, &one, p.x.get(), a.x, p.y.get(), a.y, p.convolution.get(), p.weight,
                                    a.workspace, p.workspace, &zero, p.w.get(), a.out),
                "cudnnConvolutionBackwardFilter");
    }
  };
  return plan;
}

}  // namespace ganforge
