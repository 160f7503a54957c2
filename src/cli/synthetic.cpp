#include "src/cli/synthetic.h"

namespace ganforge {

HostDataset synthetic_data(const Config& config, std::int64_t count) {
  Device cpu = Device::cpu(1);
  VariableStore scratch(cpu, 0);
  std::vector<std::int64_t> input = {2};
  for (std::int64_t extent : config.training.latent.shape.extents()) input.push_back(extent);
  const Network generator(scratch, "generator", config.generator, Shape(input));

  HostDataset data;
  data.name = "synthetic";
  data.sample = Shape(generator.output_shape().extents().subspan(1));
  data.count = count;
  data.pixels.resize(static_cast<std::size_t>(count * data.sample.elements()));
  std::uint32_t state = 1;
  for (std::uint8_t& pixel : data.pixels) {
    state = state * 1664525u + 1013904223u;
    pixel = static_cast<std::uint8_t>(state >> 24);
  }
  return data;
}

}  // namespace ganforge
