// ganforge sample: images from a checkpoint.
#include "src/cli/commands.h"
#include "src/cli/open_device.h"
#include "src/cli/run_folder.h"
#include "src/cli/trained.h"
#include "src/data/npy.h"

#include <ganforge/gan.h>

#include <fmt/format.h>

#include <limits>
#include <memory>

namespace ganforge {
namespace {

struct SampleArguments {
  std::optional<std::string> source;
  std::optional<std::int64_t> n, seed;
  std::string out = "samples.png", checkpoint = "newest";
  DeviceArguments device;
};

Setter set_image_path(std::string& to) {
  return [&to](const std::string& text) {
    const std::string extension = std::filesystem::path(text).extension().string();
    if (extension != ".png" && extension != ".npy")
      throw UsageError(fmt::format("must be a name that ends in .png or .npy, got '{}'", text));
    to = text;
  };
}

int sample(const SampleArguments& a) {
  const Trained trained(*a.source, a.device, a.checkpoint == "best");
  Trainer& trainer = trained.trainer();
  const Samples samples = trainer.sample(a.n.value_or(64), static_cast<std::uint64_t>(a.seed.value_or(0)));
  if (a.out.ends_with(".png"))
    write_picture(a.out, samples, trained.config().data);
  else
    write_npy(a.out, {DType::float32, samples.shape}, samples.values.data());
  fmt::print("{}: {} samples {} of step {}\n", a.out, samples.shape[0], Shape(samples.shape.extents().subspan(1)).str(),
             trainer.step());
  return 0;
}

}  // namespace

Command sample_command() {
  const auto a = std::make_shared<SampleArguments>();
  Command command;
  command.name = "sample";
  command.summary = "generates samples from a run or a checkpoint, as a PNG grid or a NumPy array";
  command.examples =
      "  ganforge sample runs/00000-seed-dense-fashion-mnist\n"
      "  ganforge sample runs/00000-seed-dense-fashion-mnist --n 100 --seed 7 --out grid.png\n"
      "  ganforge sample runs/00000-seed-dense-fashion-mnist/checkpoints/step-009400.safetensors --n 10000 --out "
      "x.npy\n";
  command.positionals = {{"RUN", "a run folder (its newest checkpoint) or a checkpoint", set_text(a->source)}};
  command.groups = {
      {"What to write",
       {{"--n", "N", "number of samples (default 64)", set_whole(a->n, 1, 1'000'000)},
        {"--seed", "N", "of the latents (default 0)", set_whole(a->seed, 0, std::numeric_limits<std::int64_t>::max())},
        {"--out", "FILE", "a .png grid, or .npy: float32 [n, height, width, channels] (default samples.png)",
         set_image_path(a->out)},
        checkpoint_flag(a->checkpoint)}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return sample(*a); };
  return command;
}

}  // namespace ganforge
