#include "src/core/cuda_check.h"
#include "src/core/device_rates.h"

namespace ganforge {
namespace {

/// Multiply-adds a clock and multiprocessor, of the fastest cards of a compute capability: float32 from the CUDA
/// programming guide ("Throughput of native arithmetic instructions"), dense products of tensor cores from the peaks in
/// NVIDIA's data sheets. Consumer cards of 8.6, 8.9 and 12.0 do half of the latter.
struct Throughput {
  int capability;
  double fp32, tf32, bf16;
};
constexpr Throughput throughputs[] = {{75, 64, 0, 0},         {80, 64, 512, 1024},   {86, 128, 256, 512},
                                      {89, 128, 256, 512},    {90, 128, 1024, 2048}, {100, 128, 2048, 4096},
                                      {103, 128, 2048, 4096}, {120, 128, 256, 512}};

double multiply_adds(const CudaStream& stream) {
  for (const Throughput& t : throughputs)
    if (t.capability == stream.compute_capability)
      return stream.precision == Precision::fp32 ? t.fp32 : stream.precision == Precision::tf32 ? t.tf32 : t.bf16;
  return 0;
}

}  // namespace

DeviceRates device_rates(const CudaStream& stream) {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  const auto attribute = [device](cudaDeviceAttr which) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
    return static_cast<double>(value);
  };
  DeviceRates rates;
  rates.clock = 1e3 * attribute(cudaDevAttrClockRate);
  rates.flops = 2 * multiply_adds(stream) * stream.multiprocessors * rates.clock;
  // Memory moves data on both edges of its clock.
  rates.bytes = 2 * 1e3 * attribute(cudaDevAttrMemoryClockRate) * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8;
  return rates;
}

}  // namespace ganforge
