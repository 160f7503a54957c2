// What the tests of the kernels share: the devices to run on, arrays with guard values around them, activations in
// double.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/device.h>
#include <ganforge/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ganforge::kernel_test {

/// The CPU with each instruction set it has and with one and three threads, and the GPU where there is one;
/// GANFORGE_REQUIRE_CUDA=1 in the environment makes its absence an error.
inline std::vector<Device> devices() {
  std::vector<Device> all;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) break;
    for (int threads : {1, 3}) {
      all.push_back(Device::cpu(threads));
      std::get<CpuStream>(all.back().stream()).isa = isa;
    }
  }
#if GANFORGE_CUDA
  const char* require = std::getenv("GANFORGE_REQUIRE_CUDA");
  try {
    all.push_back(Device::cuda());
  } catch (const DeviceError&) {
    if (require && std::string_view(require) == "1") throw;
  }
#endif
  return all;
}

inline std::string describe(Device& device) {
  const auto* cpu = std::get_if<CpuStream>(&device.stream());
  if (!cpu) return "CUDA";
  return std::string("CPU, ") + name_of(cpu->isa) + ", " + std::to_string(cpu->threads) + " threads";
}

/// Memory of a device with 64 bytes of guards on either side, which values() checks.
template <class T>
class Array {
 public:
  Array(Device& device, const std::vector<T>& values)
      : device_(&device), size_(values.size()), buffer_(device.allocate((size_ + 2 * guards) * sizeof(T))) {
    std::vector<T> all(size_ + 2 * guards, guard());
    std::copy(values.begin(), values.end(), all.begin() + guards);
    device.upload(buffer_.data(), all.data(), all.size() * sizeof(T));
  }
  /// `size` guard values, to be overwritten.
  Array(Device& device, std::int64_t size) : Array(device, std::vector<T>(static_cast<std::size_t>(size), guard())) {}

  T* data() const { return static_cast<T*>(buffer_.data()) + guards; }

  std::vector<T> values() const {
    std::vector<T> all(size_ + 2 * guards);
    device_->download(all.data(), buffer_.data(), all.size() * sizeof(T));
    for (std::size_t i = 0; i < guards; ++i) {
      EXPECT_EQ(all[i], guard()) << "before the array, " << describe(*device_);
      EXPECT_EQ(all[guards + size_ + i], guard()) << "behind the array, " << describe(*device_);
    }
    return {all.begin() + guards, all.end() - guards};
  }
  T value() const { return values().at(0); }

 private:
  static constexpr std::size_t guards = 64 / sizeof(T);
  static T guard() { return static_cast<T>(113); }
  Device* device_;
  std::size_t size_;
  Buffer buffer_;
};

inline double activated(const Activation& act, double x) {
  switch (act.kind) {
    case Activation::Kind::leaky_relu:
      return x > 0 ? x : act.negative_slope * x;
    case Activation::Kind::tanh:
      return std::tanh(x);
    case Activation::Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return x;
  }
}

/// The derivative, from the activation's output.
inline double slope_at(const Activation& act, double y) {
  switch (act.kind) {
    case Activation::Kind::leaky_relu:
      return y > 0 ? 1 : act.negative_slope;
    case Activation::Kind::tanh:
      return 1 - y * y;
    case Activation::Kind::sigmoid:
      return y * (1 - y);
    default:
      return 1;
  }
}

/// Fails on NaN, unlike a maximum of differences.
inline void expect_close(const std::vector<float>& got, const std::vector<double>& want, double relative,
                         double absolute, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= absolute + relative * std::abs(want[i]))
        << what << " [" << i << "]: " << got[i] << " instead of " << want[i];
  }
}

#if GANFORGE_CUDA
/// A test on the GPU, which is skipped where there is none; GANFORGE_REQUIRE_CUDA=1 makes that an error.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      device.emplace(Device::cuda());
    } catch (const DeviceError& error) {
      const char* require = std::getenv("GANFORGE_REQUIRE_CUDA");
      if (require && std::string_view(require) == "1") throw;
      GTEST_SKIP() << error.what();
    }
  }
  /// The GPU, or one that pretends to have another number of multiprocessors: kernels choose tiles by it.
  CudaStream stream(int multiprocessors = 0) {
    CudaStream stream = std::get<CudaStream>(device->stream());
    if (multiprocessors) stream.multiprocessors = multiprocessors;
    return stream;
  }
  std::vector<float> random(std::int64_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& v : values) v = normal(engine);
    return values;
  }

  std::optional<Device> device;
  std::mt19937 engine{7};
};
#endif

}  // namespace ganforge::kernel_test
