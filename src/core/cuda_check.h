// Turns CUDA status codes into DeviceError. For *.cu and *_cuda.cpp alone.
#pragma once

#include <ganforge/error.h>

#include <cuda_runtime_api.h>

#include <string>

namespace ganforge {

/// Throws DeviceError "what: status text" if the call failed.
inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw DeviceError(std::string(what) + ": " + cudaGetErrorString(status));
}

/// To be called after a kernel launch; catches bad launch configurations, not faults of the running kernel.
inline void check_launch(const char* kernel) {
  check_cuda(cudaGetLastError(), kernel);
}

}  // namespace ganforge
