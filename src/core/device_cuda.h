// What Device asks of its CUDA backend. No CUDA headers: device.cpp compiles with and without nvcc at hand.
#pragma once

#include <ganforge/device.h>

namespace ganforge {

/// The other side of a HostMirror: pinned memory and an event.
class CudaMirror {
 public:
  virtual ~CudaMirror() = default;
  virtual void start(const void* device_memory) = 0;
  virtual const void* wait() = 0;
};

/// The other side of a Staging: pinned memory, a stream and events.
class CudaStaging {
 public:
  virtual ~CudaStaging() = default;
  virtual void* fill(int slot) = 0;
  virtual void send(int slot) = 0;
  virtual void acquire(int slot) = 0;
  virtual void release(int slot) = 0;
};

/// The members of Device, for a GPU.
class CudaBackend {
 public:
  using Memory = std::unique_ptr<void, std::function<void(void*)>>;

  virtual ~CudaBackend() = default;
  virtual std::string name() const = 0;
  virtual Stream stream() = 0;
  virtual Memory allocate(std::size_t bytes) = 0;
  virtual std::size_t free_bytes() const = 0;
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  virtual void download(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void clear(void* memory, std::size_t bytes) = 0;
  virtual void synchronize() = 0;
  virtual std::unique_ptr<Captured> capture(const std::function<void()>& work) = 0;
  virtual std::unique_ptr<CudaMirror> mirror(std::size_t bytes) = 0;
  virtual std::unique_ptr<CudaStaging> staging(void* slots, std::size_t slot_bytes) = 0;
};

/// Throws DeviceError with the reason if GPU `index` cannot be used. In builds with CUDA alone.
std::unique_ptr<CudaBackend> open_cuda(int index);

}  // namespace ganforge
