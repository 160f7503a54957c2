#include "src/cli/synthetic.h"

namespace ganforge {

Shape generated_sample(const Config& config) {
  Device cpu = Device::cpu(1);
  VariableStore scratch(cpu, 0);
  std::vector<std::int64_t> input = {config.training.batch};
  for (std::int64_t extent : config.training.latent.shape.extents()) input.push_back(extent);
  const Network generator(scratch, "generator", config.generator, Shape(input));
  return Shape(generator.output_shape().extents().subspan(1));
}

HostDataset synthetic_data(const Config& config, std::int64_t count) {
  HostDataset data;
  data.name = "synthetic";
  data.sample = generated_sample(config);
  data.count = count;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * data.sample.elements()));
  std::uint32_t state = 1;
  for (std::uint8_t& pixel : pixels) {
    state = state * 1664525u + 1013904223u;
    pixel = static_cast<std::uint8_t>(state >> 24);
  }
  data.pixels = std::move(pixels);
  return data;
}

}  // namespace ganforge
