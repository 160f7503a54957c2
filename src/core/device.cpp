#include <ganforge/device.h>

#include <ganforge/error.h>

#include "src/core/device_cuda.h"
#include "src/core/team.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace ganforge {
namespace {

constexpr std::size_t huge_page = std::size_t(2) << 20;
constexpr int max_threads = 1024;

std::size_t free_host_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) return std::strtoull(line.c_str() + 13, nullptr, 10) * 1024;
  }
  return static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Linux hands out more memory than there is and kills the process that touches it, so large requests are checked first.
void* allocate_host(std::size_t bytes) {
  const bool large = bytes >= huge_page;
  const std::size_t unit = large ? huge_page : 64;
  const std::size_t rounded = bytes / unit * unit + unit;
  void* memory = nullptr;
  if (!large || bytes <= free_host_bytes()) memory = std::aligned_alloc(unit, rounded);
  if (!memory) {
    const std::size_t free = free_host_bytes();
    throw OutOfMemory(
        "out of memory on the CPU: " + std::to_string(bytes) + " bytes asked, " + std::to_string(free) + " free", bytes,
        free);
  }
  // A wish: where it is not granted, small pages do.
  if (large) madvise(memory, rounded, MADV_HUGEPAGE);
  std::memset(memory, 0, bytes);  // touches every page, so that no step pays for page faults
  return memory;
}

bool supported(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
  if (isa == Isa::avx2) return avx2;
  if (isa == Isa::avx512) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  }
#endif
  return isa == Isa::baseline;
}

struct CpuCaptured : Captured {
  explicit CpuCaptured(std::function<void()> w) : work(std::move(w)) {}
  void launch() override { work(); }
  std::function<void()> work;
};

}  // namespace

const char* name_of(Isa isa) {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline";
}

Isa detect_isa() {
  const char* wish = std::getenv("GANFORGE_ISA");
  for (Isa isa : {Isa::avx512, Isa::avx2, Isa::baseline}) {
    if (wish && *wish && std::string_view(wish) != name_of(isa)) continue;
    if (supported(isa)) return isa;
    if (wish && *wish) throw DeviceError(std::string("GANFORGE_ISA=") + wish + ": this processor lacks it");
  }
  throw DeviceError(std::string("GANFORGE_ISA=") + wish + ": must be baseline, avx2 or avx512");
}

Buffer::Buffer(std::shared_ptr<const void> owner, const void* memory, std::size_t bytes)
    : memory_(const_cast<void*>(memory), [owner = std::move(owner)](void*) {}), bytes_(bytes) {}

// --- Device
// -----------------------------------------------------------------------------------------------------------
Device::Device() = default;
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

Device Device::cpu(int threads) {
  if (threads < 0 || threads > max_threads) {
    throw DeviceError("number of CPU threads is " + std::to_string(threads) + ", must be 0 (all cores) to " +
                      std::to_string(max_threads));
  }
  Device device;
  CpuStream stream{threads ? threads : std::min(available_cores(), max_threads), detect_isa()};
  if (stream.threads > 1) {
    try {
      device.team_ = std::make_unique<Team>(stream.threads);
    } catch (const std::system_error& error) {
      throw DeviceError("cannot start " + std::to_string(stream.threads - 1) + " worker threads: " + error.what());
    }
  }
  stream.team = device.team_.get();
  device.stream_ = stream;
  return device;
}

Device Device::cuda([[maybe_unused]] int index) {
#if GANFORGE_CUDA
  Device device;
  device.cuda_ = open_cuda(index);
  device.stream_ = device.cuda_->stream();
  return device;
#else
  throw DeviceError(
      "this build of ganforge has no CUDA backend; configure "
      "with -DGANFORGE_CUDA=ON and nvcc 13 or newer");
#endif
}

Device Device::best(int threads, std::string* why_not_cuda) {
  try {
    return cuda();
  } catch (const DeviceError& error) {
    if (why_not_cuda) *why_not_cuda = error.what();
    return cpu(threads);
  }
}

bool Device::is_cuda() const {
  return cuda_ != nullptr;
}

std::string Device::name() const {
  if (cuda_) return cuda_->name();
  const auto& cpu = std::get<CpuStream>(stream_);
  return "CPU, " + std::to_string(cpu.threads) + (cpu.threads == 1 ? " thread, " : " threads, ") + name_of(cpu.isa);
}

bool Device::supports(Precision precision) const {
  if (precision == Precision::fp32) return true;
#if GANFORGE_CUDA
  if (const auto* stream = std::get_if<CudaStream>(&stream_)) return stream->compute_capability >= 80;
#endif
  return false;
}

void Device::set_precision([[maybe_unused]] Precision precision) {
  if (!supports(precision)) {
    throw ConfigError(std::string("precision ") + name_of(precision) +
                      " takes a GPU of compute capability 8.0 or newer; " + name() + " computes in fp32");
  }
#if GANFORGE_CUDA
  if (auto* stream = std::get_if<CudaStream>(&stream_)) stream->precision = precision;
#endif
}

Precision Device::precision() const {
#if GANFORGE_CUDA
  if (const auto* stream = std::get_if<CudaStream>(&stream_)) return stream->precision;
#endif
  return Precision::fp32;
}

Buffer Device::allocate(std::size_t bytes) {
  Buffer buffer;
  buffer.memory_ = cuda_ ? cuda_->allocate(bytes) : CudaBackend::Memory(allocate_host(bytes), std::free);
  buffer.bytes_ = bytes;
  return buffer;
}

std::size_t Device::free_bytes() const {
  return cuda_ ? cuda_->free_bytes() : free_host_bytes();
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  if (cuda_) return cuda_->upload(to, from, bytes);
  if (bytes) std::memcpy(to, from, bytes);
}

void Device::download(void* to, const void* from, std::size_t bytes) {
  if (cuda_) return cuda_->download(to, from, bytes);
  if (bytes) std::memcpy(to, from, bytes);
}

void Device::copy(void* to, const void* from, std::size_t bytes) {
  if (cuda_) return cuda_->copy(to, from, bytes);
  if (bytes) std::memmove(to, from, bytes);
}

void Device::clear(void* memory, std::size_t bytes) {
  if (cuda_) return cuda_->clear(memory, bytes);
  if (bytes) std::memset(memory, 0, bytes);
}

void Device::synchronize() {
  if (cuda_) cuda_->synchronize();
}

std::unique_ptr<Captured> Device::capture(std::function<void()> work) {
  if (cuda_) return cuda_->capture(work);
  return std::make_unique<CpuCaptured>(std::move(work));
}

// --- HostMirror
// -------------------------------------------------------------------------------------------------------
struct HostMirror::Impl {
  std::unique_ptr<CudaMirror> cuda;  // null on the CPU
  std::vector<std::byte> memory;     // empty on CUDA
};

HostMirror::HostMirror(Device& device, std::size_t bytes) : impl_(std::make_unique<Impl>()) {
  if (device.cuda_) {
    impl_->cuda = device.cuda_->mirror(bytes);
  } else {
    impl_->memory.resize(bytes);
  }
}
HostMirror::HostMirror(HostMirror&&) noexcept = default;
HostMirror::~HostMirror() = default;

void HostMirror::start(const void* device_memory) {
  if (impl_->cuda) return impl_->cuda->start(device_memory);
  if (!impl_->memory.empty()) std::memcpy(impl_->memory.data(), device_memory, impl_->memory.size());
}

const void* HostMirror::wait() {
  return impl_->cuda ? impl_->cuda->wait() : impl_->memory.data();
}

// --- Staging
// ----------------------------------------------------------------------------------------------------------
struct Staging::Impl {
  std::unique_ptr<CudaStaging> cuda;  // null on the CPU
  char* slots;
  std::size_t slot_bytes;
  std::vector<char> memory;  // empty on CUDA

  std::size_t offset(int slot) const { return static_cast<std::size_t>(slot) * slot_bytes; }
};

Staging::Staging(Device& device, void* slots, std::size_t slot_bytes)
    : impl_(std::make_unique<Impl>(nullptr, static_cast<char*>(slots), slot_bytes)) {
  if (device.cuda_) {
    impl_->cuda = device.cuda_->staging(slots, slot_bytes);
  } else {
    impl_->memory.resize(2 * slot_bytes);
  }
}
Staging::Staging(Staging&&) noexcept = default;
Staging::~Staging() = default;

void* Staging::fill(int slot) {
  return impl_->cuda ? impl_->cuda->fill(slot) : impl_->memory.data() + impl_->offset(slot);
}

void Staging::send(int slot) {
  if (impl_->cuda) return impl_->cuda->send(slot);
  const std::size_t offset = impl_->offset(slot);
  if (impl_->slot_bytes) std::memcpy(impl_->slots + offset, impl_->memory.data() + offset, impl_->slot_bytes);
}

void Staging::acquire(int slot) {
  if (impl_->cuda) impl_->cuda->acquire(slot);
}

void Staging::release(int slot) {
  if (impl_->cuda) impl_->cuda->release(slot);
}

}  // namespace ganforge
