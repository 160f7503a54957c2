#include "src/core/device_cuda.h"

#include "src/core/cuda_check.h"
#include "src/core/cuda_libraries.h"

#include <cstring>

namespace ganforge {
namespace {

constexpr int min_compute_capability = 75;

// An error of the last call stays readable for the next check, though that call had none.
[[noreturn]] void fail(const std::string& message) {
  cudaGetLastError();
  throw DeviceError(message);
}

std::size_t free_device_bytes() {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

/// Makes the GPU the thread's current one and returns what is known of it.
cudaDeviceProp probe(int index) {
  int count = 0;
  if (cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
      fail("no usable GPU: no NVIDIA driver is installed");
    if (status == cudaErrorInsufficientDriver) {
      fail("no usable GPU: the NVIDIA driver supports CUDA " + std::to_string(driver / 1000) + "." +
           std::to_string(driver % 1000 / 10) + ", " + std::to_string(CUDART_VERSION / 1000) + ".0 or newer is needed");
    }
    fail(std::string("no usable GPU: ") + cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status));
  }
  if (index < 0 || index >= count) {
    fail("no GPU " + std::to_string(index) + ": this machine has " + std::to_string(count) + ", counted from 0");
  }
  cudaDeviceProp properties{};
  if (cudaError_t status = cudaGetDeviceProperties(&properties, index); status != cudaSuccess) {
    fail(std::string("no usable GPU: ") + cudaGetErrorString(status));
  }
  if (10 * properties.major + properties.minor < min_compute_capability) {
    fail(std::string("no usable GPU: ") + properties.name + " has compute capability " +
         std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", 7.5 or newer is needed");
  }
  if (cudaError_t status = cudaSetDevice(index); status != cudaSuccess) {
    fail(std::string("no usable GPU: ") + cudaGetErrorString(status));
  }
  return properties;
}

/// An event that takes no time. Done before it is first recorded.
class Event {
 public:
  Event() { check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  void wait_on(cudaStream_t stream) { check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
  cudaError_t synchronize() { return cudaEventSynchronize(event_); }
  void wait(const char* what) { check_cuda(synchronize(), what); }

 private:
  cudaEvent_t event_ = nullptr;
};

using Pinned = std::unique_ptr<void, decltype(&cudaFreeHost)>;

/// Filled with zeros.
Pinned allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  if (cudaMallocHost(&memory, bytes ? bytes : 1) != cudaSuccess) {
    fail("out of pinned host memory: " + std::to_string(bytes) + " bytes asked");
  }
  std::memset(memory, 0, bytes);
  return {memory, cudaFreeHost};
}

// Non-blocking: the legacy default stream, which other libraries may use, neither waits for it nor holds it up.
cudaStream_t make_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

class Mirror : public CudaMirror {
 public:
  Mirror(cudaStream_t stream, std::size_t bytes) : stream_(stream), bytes_(bytes), memory_(allocate_pinned(bytes)) {}
  ~Mirror() override { done_.synchronize(); }  // a copy may be on its way into the memory

  void start(const void* device_memory) override {
    if (bytes_) {
      check_cuda(cudaMemcpyAsync(memory_.get(), device_memory, bytes_, cudaMemcpyDeviceToHost, stream_),
                 "copy to the host");
    }
    done_.record(stream_);
  }
  const void* wait() override {
    done_.wait("wait for a copy to the host");
    return memory_.get();
  }

 private:
  cudaStream_t stream_;
  std::size_t bytes_;
  Pinned memory_;
  Event done_;
};

class StagingSlots : public CudaStaging {
 public:
  StagingSlots(cudaStream_t work, void* slots, std::size_t slot_bytes)
      : work_(work),
        slots_(static_cast<char*>(slots)),
        slot_bytes_(slot_bytes),
        memory_(allocate_pinned(2 * slot_bytes)),
        copies_(make_stream(), cudaStreamDestroy) {
    for (Event& read : read_) read.record(work_);  // what cleared the slots may be queued still
  }
  ~StagingSlots() override { cudaStreamSynchronize(copies_.get()); }  // a copy may be on its way

  void* fill(int slot) override {
    sent_[slot].wait("wait for a copy to the GPU");
    return pinned(slot);
  }
  void send(int slot) override {
    read_[slot].wait_on(copies_.get());
    if (slot_bytes_) {
      check_cuda(cudaMemcpyAsync(slots_ + slot * static_cast<std::ptrdiff_t>(slot_bytes_), pinned(slot), slot_bytes_,
                                 cudaMemcpyHostToDevice, copies_.get()),
                 "copy to the GPU");
    }
    sent_[slot].record(copies_.get());
  }
  void acquire(int slot) override { sent_[slot].wait_on(work_); }
  void release(int slot) override { read_[slot].record(work_); }

 private:
  void* pinned(int slot) const {
    return static_cast<char*>(memory_.get()) + slot * static_cast<std::ptrdiff_t>(slot_bytes_);
  }

  cudaStream_t work_;
  char* slots_;
  std::size_t slot_bytes_;
  Pinned memory_;
  std::unique_ptr<CUstream_st, decltype(&cudaStreamDestroy)> copies_;
  Event sent_[2], read_[2];
};

class CudaCaptured : public Captured {
 public:
  CudaCaptured(cudaStream_t stream, cudaGraph_t graph) : stream_(stream) {
    check_cuda(cudaGraphInstantiate(&graph_, graph, 0), "cudaGraphInstantiate");
  }
  ~CudaCaptured() override { cudaGraphExecDestroy(graph_); }
  void launch() override { check_cuda(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

class Backend : public CudaBackend {
 public:
  explicit Backend(int index) {
    const cudaDeviceProp properties = probe(index);
    name_ = properties.name;
    multiprocessors_ = properties.multiProcessorCount;
    compute_capability_ = 10 * properties.major + properties.minor;
    stream_ = make_stream();
  }
  ~Backend() override {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }

  std::string name() const override { return name_; }
  Stream stream() override { return CudaStream{stream_, &libraries_, multiprocessors_, compute_capability_}; }

  Memory allocate(std::size_t bytes) override {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes ? bytes : 1) != cudaSuccess) {
      cudaGetLastError();  // the failure is handled here: forget it
      const std::size_t free = free_device_bytes();
      throw OutOfMemory("out of memory on " + name_ + ": " + std::to_string(bytes) + " bytes asked, " +
                            std::to_string(free) + " free",
                        bytes, free);
    }
    Memory owner(memory, [](void* p) { cudaFree(p); });
    clear(memory, bytes);
    return owner;
  }
  std::size_t free_bytes() const override { return free_device_bytes(); }

  void upload(void* to, const void* from, std::size_t bytes) override {
    if (!bytes) return;
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copy to the GPU");
    synchronize();
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    if (bytes) check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "copy from the GPU");
    synchronize();
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes) check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copy on the GPU");
  }
  void clear(void* memory, std::size_t bytes) override {
    if (bytes) check_cuda(cudaMemsetAsync(memory, 0, bytes, stream_), "cudaMemsetAsync");
  }
  void synchronize() override { check_cuda(cudaStreamSynchronize(stream_), "work on the GPU failed"); }

  std::unique_ptr<Captured> capture(const std::function<void()>& work) override {
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check_cuda(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    const std::unique_ptr<CUgraph_st, decltype(&cudaGraphDestroy)> owner(graph, cudaGraphDestroy);
    return std::make_unique<CudaCaptured>(stream_, graph);
  }

  std::unique_ptr<CudaMirror> mirror(std::size_t bytes) override { return std::make_unique<Mirror>(stream_, bytes); }
  std::unique_ptr<CudaStaging> staging(void* slots, std::size_t slot_bytes) override {
    return std::make_unique<StagingSlots>(stream_, slots, slot_bytes);
  }

 private:
  std::string name_;
  int multiprocessors_ = 1;
  int compute_capability_ = 0;
  cudaStream_t stream_ = nullptr;
  CudaLibraries libraries_;
};

}  // namespace

std::unique_ptr<CudaBackend> open_cuda(int index) {
  return std::make_unique<Backend>(index);
}

}  // namespace ganforge
