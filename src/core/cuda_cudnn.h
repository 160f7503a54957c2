// cuDNN, opened when it is first needed. For *.cu and *_cuda.cpp alone.
#pragma once

#include "src/core/cuda_libraries.h"

#include <cudnn.h>

namespace ganforge {

/// cuDNN with a handle that is bound to the device's one stream.
class Cudnn {
  SharedLibrary library_;

 public:
  /// Throws DeviceError if the library is missing.
  explicit Cudnn(cudaStream_t stream);
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;
  ~Cudnn();

  decltype(&cudnnCreateTensorDescriptor) create_tensor;
  decltype(&cudnnDestroyTensorDescriptor) destroy_tensor;
  decltype(&cudnnSetTensor4dDescriptor) set_tensor;
  decltype(&cudnnCreateFilterDescriptor) create_filter;
  decltype(&cudnnDestroyFilterDescriptor) destroy_filter;
  decltype(&cudnnSetFilter4dDescriptor) set_filter;
  decltype(&cudnnCreateConvolutionDescriptor) create_convolution;
  decltype(&cudnnDestroyConvolutionDescriptor) destroy_convolution;
  decltype(&cudnnSetConvolution2dDescriptor) set_convolution;
  decltype(&cudnnSetConvolutionGroupCount) set_groups;
  decltype(&cudnnSetConvolutionMathType) set_math;
  decltype(&cudnnGetConvolutionForwardWorkspaceSize) forward_workspace;
  decltype(&cudnnGetConvolutionBackwardDataWorkspaceSize) backward_data_workspace;
  decltype(&cudnnGetConvolutionBackwardFilterWorkspaceSize) backward_filter_workspace;
  decltype(&cudnnConvolutionForward) forward;
  decltype(&cudnnConvolutionBackwardData) backward_data;
  decltype(&cudnnConvolutionBackwardFilter) backward_filter;

  cudnnHandle_t handle = nullptr;

  /// Throws DeviceError "what: status text" if the call failed.
  void check(cudnnStatus_t status, const char* what) const;

 private:
  decltype(&cudnnDestroy) destroy_;
  decltype(&cudnnGetErrorString) status_string_;
};

}  // namespace ganforge
