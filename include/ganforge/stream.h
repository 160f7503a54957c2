// What a kernel is launched on: worker threads of the CPU, or a CUDA stream.
#pragma once

#include <ganforge/config.h>

#include <variant>

namespace ganforge {

/// Instruction set that the hot CPU kernels were picked for.
enum class Isa { baseline, avx2, avx512 };

class Team;  // worker threads; defined in src/core

/// The CPU: kernels run to their end before they return, on the calling thread and `threads` − 1 workers of the team.
struct CpuStream {
  int threads = 1;
  Isa isa = Isa::baseline;
  Team* team = nullptr;  ///< null: everything is done by the calling thread
};

/// How matrix products and convolutions of float32 values multiply. Sums are float32 throughout.
enum class Precision {
  fp32,  ///< as accurate as float32
  tf32,  ///< operands of 10 bits of mantissa, on tensor cores
  bf16   ///< operands rounded to bfloat16, 7 bits of mantissa, on tensor cores
};
constexpr const char* name_of(Precision precision) {
  return precision == Precision::tf32 ? "tf32" : precision == Precision::bf16 ? "bf16" : "fp32";
}

struct CudaLibraries;  // cuBLASLt handle and its workspace; defined in src/core

/// A CUDA stream: kernels are queued, in order.
struct CudaStream {
  void* stream = nullptr;  ///< a cudaStream_t
  CudaLibraries* libraries = nullptr;
  int multiprocessors = 1;
  int compute_capability = 75;  ///< 10 · major + minor
  Precision precision = Precision::fp32;

  void* cuda_stream() const { return stream; }
};

#if GANFORGE_CUDA
using Stream = std::variant<CpuStream, CudaStream>;
#else
using Stream = std::variant<CpuStream>;
#endif

}  // namespace ganforge
