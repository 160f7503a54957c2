// The convolutional presets: sizes, launches, algorithms against each other, and the GPU against the CPU.
#include "tests/devices.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <cmath>

namespace ganforge {
namespace {

/// Discs of random size, place and colour.
HostDataset discs(std::int64_t count, std::int64_t side, std::int64_t channels) {
  HostDataset data;
  data.name = "discs";
  data.sample = {side, side, channels};
  data.count = count;
  std::uint32_t state = 12345;
  const auto next = [&](std::int64_t below) {
    return static_cast<std::int64_t>((state = state * 1664525u + 1013904223u) / 65536u) % below;
  };
  std::vector<std::uint8_t> pixels;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t radius = 2 + next(side / 4), cy = next(side), cx = next(side);
    std::vector<std::uint8_t> colour;
    for (std::int64_t c = 0; c < channels; ++c) colour.push_back(static_cast<std::uint8_t>(64 + next(192)));
    for (std::int64_t y = 0; y < side; ++y)
      for (std::int64_t x = 0; x < side; ++x)
        for (const std::uint8_t value : colour)
          pixels.push_back((y - cy) * (y - cy) + (x - cx) * (x - cx) < radius * radius ? value : 0);
  }
  data.pixels = std::move(pixels);
  return data;
}

struct Preset {
  const char* name;
  std::int64_t side, channels, parameters;
  int launches[2];  // kernels and library calls a step, on the CPU and on CUDA
};
// Parameters without the running statistics.
const Preset presets[] = {{"dcgan-28", 28, 1, 898'370, {37, 24}},
                          {"dcgan-32", 32, 3, 1'732'224, {49, 29}},
                          {"dcgan-64", 64, 3, 6'342'272, {63, 35}}};

TrainerOptions options_of(const Preset& p, std::int64_t batch) {
  TrainerOptions options = trainer_options(preset(p.name));
  options.batch = batch;
  return options;
}

void expect_close(const std::vector<Stats>& a, const std::vector<Stats>& b, float tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE(std::abs(a[i].d_loss - b[i].d_loss), tolerance * std::abs(a[i].d_loss)) << "step " << i + 1;
    EXPECT_LE(std::abs(a[i].g_loss - b[i].g_loss), tolerance * std::abs(a[i].g_loss)) << "step " << i + 1;
  }
}

TEST(ConvPresets, HaveTheirSizesAndFewLaunches) {
  for (Device& device : devices()) {
    SCOPED_TRACE(device.name());
    for (const Preset& p : presets) {
      SCOPED_TRACE(p.name);
      const Dataset data(device, discs(8, p.side, p.channels));
      Trainer trainer(device, data, options_of(p, 2));
      EXPECT_EQ(trainer.generator().parameter_count() + trainer.discriminator().parameter_count(), p.parameters);
      EXPECT_LE(trainer.program().launches(), p.launches[device.is_cuda()]);
      EXPECT_TRUE(trainer.program().report().copies.empty());
      const Stats stats = train(trainer, 2)[1];
      EXPECT_TRUE(std::isfinite(stats.d_loss) && std::isfinite(stats.g_loss));
    }
  }
}

// Winograd, GEMM and gather against plain loops: rounding alone separates them.
TEST(ConvPresets, AlgorithmsAgree) {
  for (const Preset& p : {presets[0], presets[1]}) {
    SCOPED_TRACE(p.name);
    std::vector<Stats> all[2];
    for (const ConvMode mode : {ConvMode::automatic, ConvMode::direct}) {
      Device device = Device::cpu(2);
      device.conv_policy().mode = mode;
      const Dataset data(device, discs(64, p.side, p.channels));
      Trainer trainer(device, data, options_of(p, 8));
      all[mode == ConvMode::direct] = train(trainer, 6);
    }
    // Adam's first steps follow the signs of gradients, those near zero included: rounding grows from step to step.
    expect_close({all[0].begin(), all[0].begin() + 2}, {all[1].begin(), all[1].begin() + 2}, 1e-4f);
    expect_close(all[0], all[1], 2e-2f);
  }
}

TEST(ConvPresets, MeasuredChoicesAreKept) {
  Device device = Device::cpu(2);
  device.conv_policy().tune = true;
  const Dataset data(device, discs(8, 28, 1));
  Config config = preset("dcgan-28");
  Trainer trainer(device, data, options_of(presets[0], 4));
  config.convolutions.chosen = device.conv_policy().chosen;
  EXPECT_GE(config.convolutions.chosen.size(), 8u);
  const Config again = parse_config(to_toml(config), "again");
  EXPECT_EQ(again.convolutions.chosen, config.convolutions.chosen);

  Device resumed = Device::cpu(2);
  resumed.conv_policy() = again.convolutions;
  const Dataset same(resumed, discs(8, 28, 1));
  Trainer second(resumed, same, options_of(presets[0], 4));
  const auto &a = trainer.program().report().launches, &b = second.program().report().launches;
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].note, b[i].note) << a[i].op;
}

TEST(ConvPresets, GpuAgreesWithCpu) {
  if (devices().size() < 2) GTEST_SKIP() << "no GPU";
  Device &cpu = devices()[0], &gpu = devices()[1];
  const Dataset cpu_data = load_dataset("fashion-mnist", cpu), gpu_data = load_dataset("fashion-mnist", gpu);
  const TrainerOptions options = options_of(presets[0], 16);
  Trainer on_cpu(cpu, cpu_data, options), on_gpu(gpu, gpu_data, options);
  expect_close(train(on_cpu, 5), train(on_gpu, 5), 1e-3f);
}

}  // namespace
}  // namespace ganforge
