#include "src/core/cuda_cudnn.h"

#include "src/core/cuda_check.h"

namespace ganforge {

Cudnn::Cudnn(cudaStream_t stream) : library_("cuDNN", {"libcudnn.so.9"}) {
  decltype(&cudnnCreate) create;
  decltype(&cudnnSetStream) set_stream;
  library_.load(create, "cudnnCreate");
  library_.load(set_stream, "cudnnSetStream");
  library_.load(destroy_, "cudnnDestroy");
  library_.load(status_string_, "cudnnGetErrorString");
  library_.load(create_tensor, "cudnnCreateTensorDescriptor");
  library_.load(destroy_tensor, "cudnnDestroyTensorDescriptor");
  library_.load(set_tensor, "cudnnSetTensor4dDescriptor");
  library_.load(create_filter, "cudnnCreateFilterDescriptor");
  library_.load(destroy_filter, "cudnnDestroyFilterDescriptor");
  library_.load(set_filter, "cudnnSetFilter4dDescriptor");
  library_.load(create_convolution, "cudnnCreateConvolutionDescriptor");
  library_.load(destroy_convolution, "cudnnDestroyConvolutionDescriptor");
  library_.load(set_convolution, "cudnnSetConvolution2dDescriptor");
  library_.load(set_groups, "cudnnSetConvolutionGroupCount");
  library_.load(set_math, "cudnnSetConvolutionMathType");
  library_.load(forward_workspace, "cudnnGetConvolutionForwardWorkspaceSize");
  library_.load(backward_data_workspace, "cudnnGetConvolutionBackwardDataWorkspaceSize");
  library_.load(backward_filter_workspace, "cudnnGetConvolutionBackwardFilterWorkspaceSize");
  library_.load(forward, "cudnnConvolutionForward");
  library_.load(backward_data, "cudnnConvolutionBackwardData");
  library_.load(backward_filter, "cudnnConvolutionBackwardFilter");
  check(create(&handle), "cudnnCreate");
  if (cudnnStatus_t status = set_stream(handle, stream); status != CUDNN_STATUS_SUCCESS) {
    destroy_(handle);
    check(status, "cudnnSetStream");
  }
}

Cudnn::~Cudnn() {
  destroy_(handle);
}

void Cudnn::check(cudnnStatus_t status, const char* what) const {
  if (status != CUDNN_STATUS_SUCCESS) throw DeviceError(std::string(what) + ": " + status_string_(status));
}

std::shared_ptr<const Cudnn> CudaLibraries::cudnn(const CudaStream& stream) {
  if (!cudnn_) cudnn_ = std::make_shared<const Cudnn>(static_cast<cudaStream_t>(stream.stream));
  return cudnn_;
}

}  // namespace ganforge
