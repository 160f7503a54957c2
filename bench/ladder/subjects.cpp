#include "bench/ladder/subjects.h"

#include <limits>
#include <random>

namespace ganforge::ladder {

std::vector<float> random_floats(std::size_t count, unsigned seed, float low, float high) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(count);
  for (float& v : values) v = uniform(engine);
  return values;
}

float* on_device(Device& device, Subject& subject, const std::vector<float>& values) {
  Buffer& buffer = subject.memory.emplace_back(device.allocate(values.size() * sizeof(float)));
  device.upload(buffer.data(), values.data(), buffer.bytes());
  return static_cast<float*>(buffer.data());
}

float* unwritten(Device& device, Subject& subject, std::size_t count) {
  return on_device(device, subject, std::vector<float>(count, std::numeric_limits<float>::quiet_NaN()));
}

std::vector<Recipe> recipes(bool small) {
  std::vector<Recipe> all;
  const auto add = [&](std::string name, auto make) { all.push_back({std::move(name), make}); };
  const auto linear = [&](int m, int n, int k) {
    const std::string size = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
    add("linear/" + size, [=](Device& device, Device& cpu) { return linear_subject(device, cpu, m, n, k); });
    add("linear_gradients/" + size,
        [=](Device& device, Device& cpu) { return linear_gradient_subject(device, cpu, m, n, k); });
  };
  const auto transposed = [&](int n, int side, int in, int out, bool rungs) {
    const std::string image = std::to_string(side) + "x" + std::to_string(side);
    add("conv_transpose/" + std::to_string(n) + "x" + image + "x" + std::to_string(in) + "_to_" + std::to_string(out),
        [=](Device& device, Device& cpu) { return transposed_subject(device, cpu, n, side, side, in, out, rungs); });
  };
  const auto epilogue = [&](int rows, int channels) {
    add("bias_act/" + std::to_string(rows) + "x" + std::to_string(channels),
        [=](Device& device, Device& cpu) { return epilogue_subject(device, cpu, rows, channels); });
  };
  const auto batch_norm = [&](int n, int pixels, int channels) {
    add("batch_norm/" + std::to_string(n) + "x" + std::to_string(pixels) + "x" + std::to_string(channels),
        [=](Device& device, Device& cpu) { return batch_norm_subject(device, cpu, n, pixels, channels); });
  };
  const auto adam = [&](const std::string& name, const std::vector<int>& tensors) {
    add("adam/" + name, [=](Device& device, Device& cpu) { return adam_subject(device, cpu, tensors); });
  };
  if (small) {
    linear(64, 128, 96);
    linear(36, 20, 28);
    transposed(3, 4, 32, 64, true);
    transposed(2, 8, 32, 3, true);
    epilogue(130, 12);
    batch_norm(4, 36, 8);
    adam("two-layers", {1024, 64, 4096, 16});
    return all;
  }
  linear(512, 1024, 1024);
  linear(128, 784, 128);
  transposed(16, 8, 256, 128, true);
  // The generator of dcgan-64, a batch of 64.
  transposed(64, 4, 512, 256, false);
  transposed(64, 8, 256, 128, false);
  transposed(64, 16, 128, 64, false);
  transposed(64, 32, 64, 3, false);
  epilogue(64 * 32 * 32, 64);
  batch_norm(64, 32 * 32, 64);
  // The discriminator of dcgan-64: filters, and γ and β of three batch norms.
  adam("dcgan-64", {3072, 131072, 128, 128, 524288, 256, 256, 2097152, 512, 512, 8192});
  return all;
}

}  // namespace ganforge::ladder
