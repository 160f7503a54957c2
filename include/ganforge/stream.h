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

struct CudaLibraries;  // cuBLASLt handle and its workspace; defined in src/core

/// A CUDA stream: kernels are queued, in order.
struct CudaStream {
  void* stream = nullptr;  ///< a cudaStream_t
  CudaLibraries* libraries = nullptr;
  int multiprocessors = 1;
  int compute_capability = 75;  ///< 10 · major + minor

  void* cuda_stream() const { return stream; }
};

#if GANFORGE_CUDA
using Stream = std::variant<CpuStream, CudaStream>;
#else
using Stream = std::variant<CpuStream>;
#endif

}  // namespace ganforge
