#include "src/cli/trained.h"

#include "src/cli/run_folder.h"
#include "src/cli/synthetic.h"
#include "src/data/safetensors.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <cstring>

namespace ganforge {

Trained::Trained(const std::string& run_or_checkpoint, const DeviceArguments& device, bool best) {
  std::vector<std::string> notices;
  const std::filesystem::path checkpoint =
      best ? best_checkpoint(run_or_checkpoint) : newest_checkpoint(run_or_checkpoint, notices).path;
  const Metadata metadata = read_safetensors(checkpoint).metadata;
  const auto text = metadata.find("config");
  if (text == metadata.end())
    throw FormatError(
        fmt::format("{}: not a checkpoint of `ganforge train`: no configuration in it", checkpoint.string()));
  config_ = parse_config(text->second, checkpoint.string());

  // Sampling needs no data set: the smallest that a step can be built on stands in.
  Config small = config_;
  small.training.batch = 2;
  small.training.d_steps = 1;
  device_ = std::make_unique<Device>(open_device(device, notices));
  device_->conv_policy() = config_.convolutions;
  if (device_->supports(config_.precision)) device_->set_precision(config_.precision);
  data_ = std::make_unique<Dataset>(*device_, synthetic_data(small, 4));
  trainer_ = std::make_unique<Trainer>(*device_, *data_, trainer_options(small));
  trainer_->load(checkpoint);
  print_notices(notices);
}

Flag checkpoint_flag(std::string& to) {
  return {"--checkpoint", "WHICH", "of a run folder: newest, or the best that --eval-every found (default newest)",
          set_choice(to, {"newest", "best"})};
}

void write_picture(const std::filesystem::path& path, const Samples& samples, const std::string& data) {
  if (Shape(samples.shape.extents().subspan(1)) != Shape{2}) return write_png(path, samples);
  std::vector<float> real;
  if (const Mixture* mixture = find_mixture(data)) {
    const HostDataset points = sample_mixture(*mixture, samples.shape[0], 1);
    real.resize(samples.values.size());
    std::memcpy(real.data(), points.pixels.data(), points.pixels.size());
  }
  write_png(path, make_scatter(real, samples.values));
}

}  // namespace ganforge
