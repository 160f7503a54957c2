// Devices and the memory they own.
#pragma once

#include <ganforge/conv2d.h>
#include <ganforge/shape.h>
#include <ganforge/stream.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ganforge {

class CudaBackend;  // src/core/device_cuda.h
class Device;

/// Memory of a device, freed with the object; starts on 64 bytes, filled with zeros. Movable, not copyable.
class Buffer {
 public:
  Buffer() = default;
  /// Bytes of the host, for reading alone, as memory of the CPU: no copy. `owner` keeps them; they start anywhere.
  Buffer(std::shared_ptr<const void> owner, const void* memory, std::size_t bytes);
  Buffer(Buffer&&) noexcept = default;
  Buffer& operator=(Buffer&&) noexcept = default;

  void* data() const { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  friend class Device;
  std::unique_ptr<void, std::function<void(void*)>> memory_;
  std::size_t bytes_ = 0;
};

/// Host memory (pinned on CUDA) that receives copies of device memory while the device goes on.
class HostMirror {
 public:
  HostMirror(Device& device, std::size_t bytes);
  HostMirror(HostMirror&&) noexcept;
  ~HostMirror();

  /// Queues a copy behind the work queued so far; does not wait.
  void start(const void* device_memory);
  /// Waits for the copy last started, and for that alone.
  const void* wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Two slots of device memory, one behind the other, that the host fills while the device goes on: by way of as much
/// host memory (pinned on CUDA) and, on CUDA, a stream of its own. A slot goes round: fill, send, acquire, release.
class Staging {
 public:
  Staging(Device& device, void* slots, std::size_t slot_bytes);
  Staging(Staging&&) noexcept;
  ~Staging();

  /// Host memory for the slot's next content. Waits until what was sent from it before has left it.
  void* fill(int slot);
  /// Queues the copy to the device, behind the work that released the slot; does not wait.
  void send(int slot);
  /// Work queued from here on finds what was sent.
  void acquire(int slot);
  /// Work queued so far has been the last to read it.
  void release(int slot);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Work recorded once and launched many times: a CUDA graph.
class Captured {
 public:
  virtual ~Captured() = default;
  virtual void launch() = 0;
};

/// One processor with its memory, stream and library handles. Use it from one thread.
class Device {
 public:
  /// The CPU with `threads` threads, the calling one among them; 0 takes all cores. Throws DeviceError unless
  /// 0 ≤ threads ≤ 1024, or if the system has no more threads.
  static Device cpu(int threads = 0);
  /// An NVIDIA GPU. Throws DeviceError if there is no driver, device or new enough architecture, and says which.
  static Device cuda(int index = 0);
  /// A GPU where one can be used, else the CPU; `why_not_cuda` receives the reason for the latter, in one line.
  static Device best(int threads = 0, std::string* why_not_cuda = nullptr);

  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  ~Device();

  bool is_cuda() const;
  /// "CPU, 2 threads, avx512" or the card's name
  std::string name() const;
  Stream& stream() { return stream_; }
  /// How compile() chooses kernels for convolutions.
  ConvPolicy& conv_policy() { return conv_policy_; }

  /// tf32 and bf16 take tensor cores: a GPU of compute capability 8.0 or newer.
  bool supports(Precision precision) const;
  /// Of all products, in programs compiled afterwards; fp32 until then. Throws ConfigError if it is not supported.
  void set_precision(Precision precision);
  Precision precision() const;

  /// Throws DeviceError with the bytes asked and free.
  Buffer allocate(std::size_t bytes);
  /// Bytes that can still be allocated.
  std::size_t free_bytes() const;

  /// Host → device; returns when the source may be reused.
  void upload(void* to, const void* from, std::size_t bytes);
  /// Device → host; waits for the work queued so far.
  void download(void* to, const void* from, std::size_t bytes);
  /// Within the device, queued.
  void copy(void* to, const void* from, std::size_t bytes);
  /// Fills with zero bytes, queued.
  void clear(void* memory, std::size_t bytes);
  /// Waits for the work queued so far; throws DeviceError if any of it failed.
  void synchronize();

  /// Records what `work` queues as one graph; on the CPU the result calls `work` again.
  std::unique_ptr<Captured> capture(std::function<void()> work);

 private:
  friend class HostMirror;
  friend class Staging;
  Device();
  Stream stream_;
  ConvPolicy conv_policy_;
  std::unique_ptr<CudaBackend> cuda_;  // null on the CPU
  std::unique_ptr<Team> team_;         // null on CUDA and with one thread
};

/// The instruction set the CPU kernels use: the best that the processor has, or what GANFORGE_ISA=baseline|avx2|avx512
/// in the environment asks for. Throws DeviceError if the processor lacks that.
Isa detect_isa();
const char* name_of(Isa isa);

}  // namespace ganforge
