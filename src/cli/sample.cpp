// ganforge sample: images from a checkpoint.
#include "src/cli/commands.h"
#include "src/cli/labelled_set.h"
#include "src/cli/open_device.h"
#include "src/cli/run_folder.h"
#include "src/cli/trained.h"
#include "src/data/npy.h"

#include <ganforge/gan.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <memory>

namespace ganforge {
namespace {

struct SampleArguments {
  std::optional<std::string> source, out, of_class;
  std::optional<std::int64_t> n, seed, per_class;
  std::string checkpoint = "newest";
  DeviceArguments device;
};

void check_combinations(const SampleArguments& a) {
  if (a.per_class) {
    if (!a.out) throw UsageError("--per-class needs --out: a folder, or a file that ends in .npz");
    if (a.n || a.of_class) throw UsageError("--per-class makes samples of every class; leave out --n and --class");
    return;
  }
  if (!a.out) return;
  const std::string extension = std::filesystem::path(*a.out).extension().string();
  if (extension != ".png" && extension != ".npy")
    throw UsageError(fmt::format("--out must be a name that ends in .png or .npy, got '{}'{}", *a.out,
                                 extension == ".npz" ? "; .npz is for --per-class" : ""));
}

/// The number of a class that is named, or numbered.
std::int32_t class_named(const std::vector<std::string>& classes, const std::string& text) {
  const auto found = std::ranges::find(classes, text);
  if (found != classes.end()) return static_cast<std::int32_t>(found - classes.begin());
  std::int32_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= 0 && number < std::ssize(classes))
    return number;
  throw ConfigError(fmt::format("--class: there is no class '{}'{}; there are 0 to {}: {}", text,
                                did_you_mean(text, classes), classes.size() - 1, fmt::join(classes, ", ")));
}

Samples make_samples(const SampleArguments& a, Trainer& trainer) {
  const std::int64_t n = a.n.value_or(64);
  const auto seed = static_cast<std::uint64_t>(a.seed.value_or(0));
  if (a.of_class) {
    SampleOptions wanted{.seed = seed};
    wanted.labels.assign(static_cast<std::size_t>(n), class_named(trainer.classes(), *a.of_class));
    return trainer.sample(n, wanted);
  }
  const bool picture = !a.n && !a.out.value_or("").ends_with(".npy");
  return picture ? trainer.picture(n, seed) : trainer.sample(n, seed);
}

int sample(const SampleArguments& a) {
  check_combinations(a);
  const Trained trained(*a.source, a.device, a.checkpoint == "best");
  Trainer& trainer = trained.trainer();
  if ((a.of_class || a.per_class) && trainer.classes().empty())
    throw ConfigError(
        fmt::format("{}: the model makes samples of no class: {} wants a conditional one, as cgan-28 and "
                    "acgan-28 are",
                    *a.source, a.of_class ? "--class" : "--per-class"));
  if (a.per_class) {
    write_labelled_set(*a.out, trainer, *a.per_class, static_cast<std::uint64_t>(a.seed.value_or(0)));
    fmt::print("{}: {} samples of each of {} classes of step {}\n", *a.out, *a.per_class, trainer.classes().size(),
               trainer.step());
    return 0;
  }
  const Samples samples = make_samples(a, trainer);
  const std::string out = a.out.value_or("samples.png");
  if (out.ends_with(".png"))
    write_picture(out, samples, trained.config().data);
  else
    write_npy(out, {DType::float32, samples.shape}, samples.values.data());
  fmt::print("{}: {} samples {} of step {}\n", out, samples.shape[0], Shape(samples.shape.extents().subspan(1)).str(),
             trainer.step());
  return 0;
}

}  // namespace

Command sample_command() {
  const auto a = std::make_shared<SampleArguments>();
  Command command;
  command.name = "sample";
  command.summary = "generates samples from a run or a checkpoint, as a picture, an array or a labelled data set";
  command.examples =
      "  ganforge sample runs/00000-seed-dense-fashion-mnist\n"
      "  ganforge sample runs/00000-seed-dense-fashion-mnist --n 100 --seed 7 --out grid.png\n"
      "  ganforge sample runs/00000-seed-dense-fashion-mnist/checkpoints/step-009400.safetensors --n 10000 --out "
      "x.npy\n"
      "  ganforge sample runs/00000-acgan-28-fashion-mnist                 a row for each class\n"
      "  ganforge sample runs/00000-acgan-28-fashion-mnist --class Sneaker --out sneakers.png\n"
      "  ganforge sample runs/00000-acgan-28-fashion-mnist --per-class 500 --out more.npz\n";
  command.positionals = {{"RUN", "a run folder (its newest checkpoint) or a checkpoint", set_text(a->source)}};
  command.groups = {
      {"What to write",
       {{"--n", "N",
         "number of samples (default 64; without it, the picture of a conditional model is a grid of classes)",
         set_whole(a->n, 1, 1'000'000)},
        {"--class", "NAME|K", "samples of this class alone (default: of all classes in turn)", set_text(a->of_class)},
        {"--per-class", "N", "a labelled data set of N samples of each class: a folder of PNG files by class, or .npz",
         set_whole(a->per_class, 1, 1'000'000)},
        {"--seed", "N", "of the latents (default 0)", set_whole(a->seed, 0, std::numeric_limits<std::int64_t>::max())},
        {"--out", "PATH",
         "a .png grid, or .npy: float32 [n, height, width, channels] (default samples.png); with --per-class a folder, "
         "or .npz: x_train uint8, y_train int32",
         set_text(a->out)},
        checkpoint_flag(a->checkpoint)}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return sample(*a); };
  return command;
}

}  // namespace ganforge
