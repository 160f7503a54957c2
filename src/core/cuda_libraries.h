// NVIDIA's libraries, opened when they are first needed: a program linked to them would not start where they are
// missing, and would be slow to start where they are not. For *.cu and *_cuda.cpp alone.
#pragma once

#include <ganforge/stream.h>

#include <cublasLt.h>

#include <cstddef>
#include <memory>
#include <string>

namespace ganforge {

/// A shared library that stays open as long as the object lives. Throws DeviceError if it or a symbol is missing.
class SharedLibrary {
 public:
  /// Tries the names in order.
  SharedLibrary(const char* title, std::initializer_list<const char*> names);
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;
  ~SharedLibrary();

  template <class Function>
  void load(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;
  std::string title_;
  void* handle_ = nullptr;
};

/// cuBLASLt with its handle and a workspace, which calls on the device's one stream share.
class CublasLt {
  SharedLibrary library_;

 public:
  CublasLt();
  ~CublasLt();

  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
  decltype(&cublasLtMatmulDescCreate) create_desc;
  decltype(&cublasLtMatmulDescDestroy) destroy_desc;
  decltype(&cublasLtMatmulDescSetAttribute) set_desc;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;

  static constexpr std::size_t workspace_bytes = std::size_t(32) << 20;
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;

  /// Throws DeviceError "what: status text" if the call failed.
  void check(cublasStatus_t status, const char* what) const;

 private:
  decltype(&cublasLtDestroy) destroy_;
  decltype(&cublasLtGetStatusString) status_string_;
};

class Cudnn;  // src/core/cuda_cudnn.h

/// What a CudaStream points to. A library is opened on first use; that must not be while a graph is captured.
struct CudaLibraries {
  const CublasLt& cublas_lt();
  /// `stream` is the device's one stream. What is prepared with the library keeps it open.
  std::shared_ptr<const Cudnn> cudnn(const CudaStream& stream);

 private:
  std::unique_ptr<CublasLt> cublas_lt_;
  std::shared_ptr<const Cudnn> cudnn_;
};

}  // namespace ganforge
