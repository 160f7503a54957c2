#include <ganforge/device.h>

#include <ganforge/error.h>

#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "no error";
}

/// Sets GANFORGE_ISA and puts it back.
class IsaWish {
 public:
  explicit IsaWish(const char* wish) {
    if (const char* old = std::getenv("GANFORGE_ISA")) old_ = old;
    setenv("GANFORGE_ISA", wish, 1);
  }
  ~IsaWish() { old_.empty() ? unsetenv("GANFORGE_ISA") : setenv("GANFORGE_ISA", old_.c_str(), 1); }

 private:
  std::string old_;
};

TEST(Device, CpuTakesAllCoresUnlessToldOtherwise) {
  EXPECT_GE(std::get<CpuStream>(Device::cpu().stream()).threads, 1);
  Device device = Device::cpu(3);
  EXPECT_FALSE(device.is_cuda());
  EXPECT_EQ(std::get<CpuStream>(device.stream()).threads, 3);
  EXPECT_EQ(device.name(), std::string("CPU, 3 threads, ") + name_of(detect_isa()));
  EXPECT_THROW(Device::cpu(-1), DeviceError);
  EXPECT_THROW(Device::cpu(1 << 20), DeviceError);
}

TEST(Device, TheCpuComputesInFloat32) {
  Device device = Device::cpu(1);
  EXPECT_TRUE(device.supports(Precision::fp32));
  device.set_precision(Precision::fp32);
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    EXPECT_FALSE(device.supports(precision));
    EXPECT_THROW(device.set_precision(precision), ConfigError);
  }
  EXPECT_EQ(device.precision(), Precision::fp32);
}

TEST(Device, EnvironmentChoosesTheInstructionSet) {
  {
    IsaWish wish("baseline");
    EXPECT_EQ(detect_isa(), Isa::baseline);
    EXPECT_EQ(Device::cpu(1).name(), "CPU, 1 thread, baseline");
  }
  {
    IsaWish wish("sse9");
    EXPECT_EQ(message_of(detect_isa), "GANFORGE_ISA=sse9: must be baseline, avx2 or avx512");
  }
  {
    IsaWish wish("");
    EXPECT_NO_THROW(detect_isa());
  }
}

TEST(Device, MemoryIsZeroAndAligned) {
  for (Device& device : kernel_test::devices()) {
    for (std::size_t bytes : {0, 1, 63, 64, 100'001, 5'000'001}) {
      Buffer buffer = device.allocate(bytes);
      ASSERT_EQ(buffer.bytes(), bytes);
      ASSERT_NE(buffer.data(), nullptr);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
      std::vector<unsigned char> host(bytes, 7);
      device.download(host.data(), buffer.data(), bytes);
      EXPECT_EQ(host, std::vector<unsigned char>(bytes, 0)) << bytes << " bytes, " << device.name();
    }
  }
}

TEST(Device, OutOfMemorySaysHowMuch) {
  for (Device& device : kernel_test::devices()) {
    EXPECT_GT(device.free_bytes(), std::size_t(1) << 20);
    for (std::size_t bytes : {std::size_t(1) << 50, std::numeric_limits<std::size_t>::max()}) {
      const std::string message = message_of([&] { device.allocate(bytes); });
      EXPECT_NE(message.find("out of memory"), std::string::npos) << message;
      EXPECT_NE(message.find(std::to_string(bytes) + " bytes asked"), std::string::npos) << message;
      EXPECT_NE(message.find(" free"), std::string::npos) << message;
    }
    EXPECT_NO_THROW(device.allocate(64)) << "the failure must not stick";
    EXPECT_NO_THROW(device.synchronize());
  }
}

TEST(Device, CopiesKeepTheirOrder) {
  for (Device& device : kernel_test::devices()) {
    const std::vector<int> first = {1, 2, 3, 4}, second = {5, 6, 7, 8};
    Buffer a = device.allocate(16), b = device.allocate(16);
    device.upload(a.data(), first.data(), 16);
    device.copy(b.data(), a.data(), 16);
    device.upload(a.data(), second.data(), 16);
    device.clear(static_cast<int*>(b.data()) + 1, 8);
    std::vector<int> host(4);
    device.download(host.data(), b.data(), 16);
    EXPECT_EQ(host, (std::vector<int>{1, 0, 0, 4}));
    device.download(host.data(), a.data(), 16);
    EXPECT_EQ(host, second);
    device.upload(nullptr, nullptr, 0);
    device.copy(nullptr, nullptr, 0);
    device.clear(nullptr, 0);
    device.download(nullptr, nullptr, 0);
  }
}

TEST(Device, BuffersAndDevicesMove) {
  for (Device& original : kernel_test::devices()) {
    Buffer a = original.allocate(16);
    void* memory = a.data();
    HostMirror mirror(original, 16);
    Device device = std::move(original);
    Buffer b = std::move(a);
    EXPECT_EQ(b.data(), memory);
    const std::vector<int> values = {1, 2, 3, 4};
    device.upload(b.data(), values.data(), 16);
    HostMirror moved = std::move(mirror);
    moved.start(b.data());
    EXPECT_EQ(std::memcmp(moved.wait(), values.data(), 16), 0);
  }
}

TEST(HostMirror, HoldsWhatTheDeviceHeldWhenTheCopyWasQueued) {
  for (Device& device : kernel_test::devices()) {
    const std::vector<int> values = {1, 2, 3, 4}, zeros(4);
    Buffer buffer = device.allocate(16);
    HostMirror mirror(device, 16), empty(device, 0);
    EXPECT_EQ(std::memcmp(mirror.wait(), zeros.data(), 16), 0) << "nothing was started yet";
    device.upload(buffer.data(), values.data(), 16);
    mirror.start(buffer.data());
    device.clear(buffer.data(), 16);
    EXPECT_EQ(std::memcmp(mirror.wait(), values.data(), 16), 0);
    mirror.start(buffer.data());
    EXPECT_EQ(std::memcmp(mirror.wait(), zeros.data(), 16), 0);
    empty.start(nullptr);
    empty.wait();
  }
}

// What is sent next is on its way while the work that reads the other slot is queued.
TEST(Staging, EachSlotArrivesInItsTurn) {
  for (Device& device : kernel_test::devices()) {
    constexpr int rounds = 9, bytes = 4096;
    Buffer slots = device.allocate(2 * bytes), seen = device.allocate(rounds * bytes);
    Staging staging(device, slots.data(), bytes);
    const auto send = [&](int round) {
      std::memset(staging.fill(round % 2), round + 1, bytes);
      staging.send(round % 2);
    };
    send(0);
    for (int round = 0; round < rounds; ++round) {
      staging.acquire(round % 2);
      device.copy(static_cast<char*>(seen.data()) + round * bytes, static_cast<char*>(slots.data()) + round % 2 * bytes,
                  bytes);
      staging.release(round % 2);
      send(round + 1);
    }
    std::vector<char> host(rounds * bytes);
    device.download(host.data(), seen.data(), host.size());
    for (int round = 0; round < rounds; ++round)
      EXPECT_EQ(std::vector<char>(host.begin() + round * bytes, host.begin() + (round + 1) * bytes),
                std::vector<char>(bytes, static_cast<char>(round + 1)))
          << "round " << round;
  }
}

TEST(Buffer, RefersToMemoryOfTheHostAndKeepsIt) {
  const auto owner = std::make_shared<const std::vector<int>>(5, 7);
  {
    Buffer buffer(owner, owner->data(), 20);
    const Buffer moved = std::move(buffer);
    EXPECT_EQ(moved.data(), owner->data());
    EXPECT_EQ(moved.bytes(), 20u);
    EXPECT_EQ(owner.use_count(), 2);
  }
  EXPECT_EQ(owner.use_count(), 1);
}

TEST(Captured, DoesTheWorkAtEachLaunch) {
  for (Device& device : kernel_test::devices()) {
    const std::vector<int> values = {1, 2, 3, 4};
    Buffer a = device.allocate(16), b = device.allocate(16);
    auto captured = device.capture([&] {
      device.copy(b.data(), a.data(), 16);
      device.clear(a.data(), 4);
    });
    device.upload(a.data(), values.data(), 16);
    std::vector<int> host(4);
    device.download(host.data(), b.data(), 16);
    EXPECT_EQ(host, std::vector<int>(4)) << "recording is not running";
    captured->launch();
    device.download(host.data(), b.data(), 16);
    EXPECT_EQ(host, values);
    captured->launch();
    device.download(host.data(), b.data(), 16);
    EXPECT_EQ(host, (std::vector<int>{0, 2, 3, 4}));
  }
}

TEST(Captured, ErrorsOfTheWorkLeaveTheDeviceUsable) {
  for (Device& device : kernel_test::devices()) {
    Buffer buffer = device.allocate(16);
    const auto work = [&] {
      device.clear(buffer.data(), 16);
      throw Error("no");
    };
    EXPECT_THROW(device.capture(work)->launch(), Error);
    EXPECT_NO_THROW(device.synchronize());
    EXPECT_NO_THROW(device.capture([&] { device.clear(buffer.data(), 16); })->launch());
    EXPECT_NO_THROW(device.synchronize());
  }
}

TEST(Device, BestSaysWhyItIsNotTheGpu) {
  std::string why;
  Device device = Device::best(1, &why);
  EXPECT_EQ(device.is_cuda(), why.empty());
  if (device.is_cuda()) {
    const auto count_message = message_of([] { Device::cuda(99); });
    EXPECT_NE(count_message.find("no GPU 99"), std::string::npos) << count_message;
    EXPECT_THROW(Device::cuda(-1), DeviceError);
  } else {
    EXPECT_EQ(why, message_of([] { Device::cuda(); }));
    EXPECT_EQ(why.find('\n'), std::string::npos);
    EXPECT_EQ(device.name(), Device::cpu(1).name());
  }
}

}  // namespace
}  // namespace ganforge
