#include "src/cli/synthetic.h"

namespace ganforge {

Shape generated_sample(const Config& config) {
  Device cpu = Device::cpu(1);
  VariableStore scratch(cpu, 0);
  const Network generator(scratch, "generator", config.generator,
                          generator_input(config.training, config.training.batch), 1);
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
  data.classes = config.classes;
  if (data.classes.empty()) data.classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  for (std::int64_t i = 0; i < count; ++i) data.labels.push_back(static_cast<std::int32_t>(i % std::ssize(data.classes)));
  return data;
}

}  // namespace ganforge
