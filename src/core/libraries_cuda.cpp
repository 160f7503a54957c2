#include "src/core/cuda_check.h"
#include "src/core/cuda_libraries.h"

#include <dlfcn.h>

namespace ganforge {

SharedLibrary::SharedLibrary(const char* title, std::initializer_list<const char*> names) : title_(title) {
  for (const char* name : names) {
    handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle_) return;
  }
  throw DeviceError("cannot open " + title_ + " (" + *names.begin() +
                    "): install it or put its folder into LD_LIBRARY_PATH");
}

SharedLibrary::~SharedLibrary() {
  dlclose(handle_);
}

void* SharedLibrary::symbol(const char* name) const {
  void* address = dlsym(handle_, name);
  if (!address) throw DeviceError("this version of " + title_ + " has no " + name + "; install a newer one");
  return address;
}

CublasLt::CublasLt() : library_("cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so"}) {
  decltype(&cublasLtCreate) create;
  library_.load(create, "cublasLtCreate");
  library_.load(destroy_, "cublasLtDestroy");
  library_.load(status_string_, "cublasLtGetStatusString");
  library_.load(matmul, "cublasLtMatmul");
  library_.load(get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library_.load(create_desc, "cublasLtMatmulDescCreate");
  library_.load(destroy_desc, "cublasLtMatmulDescDestroy");
  library_.load(set_desc, "cublasLtMatmulDescSetAttribute");
  library_.load(create_layout, "cublasLtMatrixLayoutCreate");
  library_.load(destroy_layout, "cublasLtMatrixLayoutDestroy");
  library_.load(set_layout, "cublasLtMatrixLayoutSetAttribute");
  library_.load(create_preference, "cublasLtMatmulPreferenceCreate");
  library_.load(destroy_preference, "cublasLtMatmulPreferenceDestroy");
  library_.load(set_preference, "cublasLtMatmulPreferenceSetAttribute");
  check(create(&handle), "cublasLtCreate");
  if (cudaError_t status = cudaMalloc(&workspace, workspace_bytes); status != cudaSuccess) {
    destroy_(handle);
    cudaGetLastError();  // out of memory is not sticky; leave no trace for the
                         // next check
    check_cuda(status, "workspace of cuBLASLt (32 MiB)");
  }
}

CublasLt::~CublasLt() {
  cudaFree(workspace);
  destroy_(handle);
}

void CublasLt::check(cublasStatus_t status, const char* what) const {
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(std::string(what) + ": " + status_string_(status));
}

const CublasLt& CudaLibraries::cublas_lt() {
  if (!cublas_lt_) cublas_lt_ = std::make_unique<CublasLt>();
  return *cublas_lt_;
}

}  // namespace ganforge
