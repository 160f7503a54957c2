// ganforge train: the configuration that file and flags make, and the run.
#include "src/cli/commands.h"
#include "src/cli/divergence.h"
#include "src/cli/dry_run.h"
#include "src/cli/load_data.h"
#include "src/cli/open_device.h"
#include "src/gan/collapse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

constexpr auto default_preset = "dcgan-28";
constexpr std::int64_t max_steps = 1'000'000'000'000;

struct TrainArguments {
  std::optional<std::string> preset, config, data, out, resume;
  std::optional<std::int64_t> steps, epochs, batch, seed, sample_every, checkpoint_every, eval_every;
  std::optional<float> lr_g, lr_d, r1, r2, gp, clip;
  std::optional<std::int64_t> d_steps;
  DeviceArguments device;
  Residency data_memory = Residency::automatic;
  std::string progress = "auto", on_nan = "stop", objective, conv, precision;
  std::optional<std::string> augment;
  bool dry_run = false, tune = false, skip_bad = false;
};

void check_combinations(const TrainArguments& a) {
  if (a.steps && a.epochs) throw UsageError("--steps and --epochs are both given; one of them says how long to train");
  if (a.preset && a.config)
    throw UsageError(
        "--preset and --config are both given; a file can build on a preset itself: preset = \"seed-dense\"");
  if (!a.resume) return;
  const std::pair<const char*, bool> fixed[] = {{"--preset", a.preset.has_value()},
                                                {"--config", a.config.has_value()},
                                                {"--data", a.data.has_value()},
                                                {"--batch", a.batch.has_value()},
                                                {"--seed", a.seed.has_value()},
                                                {"--lr-g", a.lr_g.has_value()},
                                                {"--lr-d", a.lr_d.has_value()},
                                                {"--out", a.out.has_value()},
                                                {"--objective", !a.objective.empty()},
                                                {"--conv", !a.conv.empty()},
                                                {"--d-steps", a.d_steps.has_value()},
                                                {"--r1", a.r1.has_value()},
                                                {"--r2", a.r2.has_value()},
                                                {"--gp", a.gp.has_value()},
                                                {"--clip", a.clip.has_value()},
                                                {"--augment", a.augment.has_value()},
                                                {"--tune", a.tune}};
  for (const auto& [flag, given] : fixed)
    if (given)
      throw UsageError(fmt::format(
          "{} cannot change when a run is resumed; only --steps, --epochs, --sample-every, "
          "--checkpoint-every, --eval-every, --device, --precision, --threads, --data-memory, --skip-bad, --on-nan and "
          "--progress can",
          flag));
}

/// A path that means the same in another folder.
std::string portable(const std::string& data) {
  std::error_code error;
  const std::vector<std::string> names = dataset_names();
  if (std::ranges::find(names, data) != names.end() || !fs::exists(data, error)) return data;
  return fs::absolute(data).lexically_normal().string();
}

/// Adds the penalty, or changes its weight.
void set_penalty(std::vector<Penalty>& penalties, Penalty::Kind kind, const std::optional<float>& weight) {
  if (!weight) return;
  const auto found = std::ranges::find(penalties, kind, &Penalty::kind);
  if (found != penalties.end())
    found->weight = *weight;
  else
    penalties.push_back({.kind = kind, .weight = *weight});
}

/// "color,cutout", or "none".
void set_augmentation(Augmentation& augment, const std::optional<std::string>& text) {
  if (!text) return;
  augment = {};
  if (*text == "none") return;
  std::size_t begin = 0;
  for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
    end = text->find(',', begin);
    const std::string word = text->substr(begin, end - begin);
    const std::vector<std::string> names = augmentation_names();
    if (std::ranges::find(names, word) == names.end())
      throw UsageError(fmt::format("--augment: '{}' is none of {}; they are joined by commas, or none alone", word,
                                   fmt::join(names, ", ")));
    add_augmentation(augment, word);
  }
}

/// Flags come before the file, the file before its preset.
Config make_config(const TrainArguments& a, const RunFolder* run) {
  Config c = run        ? load_config(run->config())
             : a.config ? load_config(*a.config)
                        : preset(a.preset.value_or(default_preset));
  const auto take = [](auto& to, const auto& from) {
    if (from) to = static_cast<std::remove_reference_t<decltype(to)>>(*from);
  };
  take(c.data, a.data);
  take(c.steps, a.steps);
  take(c.training.batch, a.batch);
  take(c.training.seed, a.seed);
  take(c.training.generator_adam.lr, a.lr_g);
  take(c.training.discriminator_adam.lr, a.lr_d);
  if (!a.objective.empty()) c.training.objective = objective_named(a.objective);
  take(c.training.d_steps, a.d_steps);
  take(c.training.weight_clip, a.clip);
  set_penalty(c.training.penalties, Penalty::Kind::r1, a.r1);
  set_penalty(c.training.penalties, Penalty::Kind::r2, a.r2);
  set_penalty(c.training.penalties, Penalty::Kind::gp, a.gp);
  set_augmentation(c.training.augment, a.augment);
  if (!a.conv.empty()) c.convolutions.mode = conv_mode_named(a.conv);
  c.convolutions.tune = a.tune;
  if (!a.precision.empty()) c.precision = precision_named(a.precision);
  take(c.sample_every, a.sample_every);
  take(c.checkpoint_every, a.checkpoint_every);
  take(c.eval_every, a.eval_every);
  c.skip_bad = c.skip_bad || a.skip_bad;
  c.data = portable(c.data);
  return c;
}

std::unique_ptr<Trainer> make_trainer(Device& device, const Dataset& data, const Config& config,
                                      const std::string& source) {
  try {
    return std::make_unique<Trainer>(device, data, trainer_options(config));
  } catch (const ShapeError& error) {
    throw ShapeError(fmt::format("{}: {}", source, error.what()));
  }
}

/// What the labels mean must not change.
void check_classes(const Config& config, const std::vector<std::string>& classes, const std::string& source) {
  if (config.classes.empty() || classes.empty() || config.classes == classes) return;
  throw ConfigError(fmt::format("{}: made for the classes {}, but those of {} are {}; remove 'classes' to begin anew",
                                source, fmt::join(config.classes, ", "), config.data, fmt::join(classes, ", ")));
}

std::string run_name(const TrainArguments& a, const Config& config, const Dataset& data) {
  const std::string model = config.preset.empty() ? fs::path(*a.config).stem().string() : config.preset;
  return fmt::format("{}-{}", model, data.name());
}

int train(const TrainArguments& a, const std::vector<std::string>& words) {
  check_combinations(a);
  std::optional<RunFolder> run;
  if (a.resume) run = RunFolder::open(*a.resume);
  Config config = make_config(a, run ? &*run : nullptr);
  const std::string source = run ? run->config().string() : a.config.value_or("preset " + config.preset);

  std::vector<std::string> notices;
  const bool channels_follow = !run && !a.config;
  HostDataset host = load_data(config, source, channels_follow, notices);
  if (channels_follow) set_image_channels(config, host.sample[-1]);  // a preset's follow the data
  Device device = open_device(a.device, notices);
  device.conv_policy() = config.convolutions;
  device.set_precision(config.precision);
  const TrainerOptions range = trainer_options(config);
  const double data_diversity = a.dry_run ? 0 : diversity(host, range.low, range.high);
  const Dataset data(device, std::move(host), a.data_memory);
  notice_residency(data, notices);
  const std::int64_t images_per_step = samples_per_step(config.training);
  if (a.epochs) config.steps = (*a.epochs * data.count() + images_per_step - 1) / images_per_step;
  std::unique_ptr<Trainer> trainer = make_trainer(device, data, config, source);
  config.convolutions.chosen = device.conv_policy().chosen;
  check_classes(config, trainer->classes(), source);
  config.classes = trainer->classes();
  if (a.dry_run) {
    print_notices(notices);
    fmt::print("{}", describe_step(device, *trainer, data));
    return 0;
  }

  const TrainingSetup setup{
      config,         run ? *run : RunFolder::create(a.out.value_or("runs"), run_name(a, config, data)),
      device,         data,
      data_diversity, words,
      a.progress,     [&] { return make_trainer(device, data, config, source); }};
  const OnNan on_nan = a.on_nan == "rollback" ? OnNan::rollback : OnNan::stop;
  return train_watched(setup, on_nan, std::move(trainer), [&](TrainingRun& training) {
    if (run) {
      training.resume(newest_checkpoint(*a.resume, notices), words, notices);
      print_notices(notices);
      fmt::print("{} from step {} on {}, to step {}\n", run->path().string(), training.step(), device.name(),
                 config.steps);
    } else {
      training.begin(words);
      print_notices(notices);
      fmt::print("{}: {} samples {}, batch {}, {} steps on {}\n", setup.folder.path().string(), data.count(),
                 data.sample().str(), config.training.batch, config.steps, device.name());
    }
  });
}

}  // namespace

Command train_command() {
  const auto a = std::make_shared<TrainArguments>();
  const Config d = preset(default_preset);
  Command command;
  command.name = "train";
  command.summary = "trains a GAN; samples, curves and checkpoints go to a run folder";
  command.examples =
      "  ganforge train                                  the default preset on Fashion-MNIST\n"
      "  ganforge train --preset seed-dense --data mnist --steps 2000 --seed 7\n"
      "  ganforge train --config my.toml --out experiments\n"
      "  ganforge train --resume runs/00000-dcgan-28-fashion-mnist --steps 20000\n"
      "  ganforge info --preset dcgan-28 > my.toml       a configuration to start from\n";
  const auto count = [](const char* text, std::int64_t value) { return fmt::format("{} (default {})", text, value); };
  command.groups = {
      {"What to train",
       {{"--preset", "NAME",
         fmt::format("model and settings that are built in (default {}); `ganforge info` lists them", default_preset),
         set_preset(a->preset)},
        {"--config", "FILE", "model and settings from a TOML file; flags override it", set_text(a->config)},
        {"--data", "NAME|PATH",
         fmt::format("fashion-mnist, mnist, cifar-10, ring8, grid25, stacked:NAME, a folder of images, or IDX, "
                     "CIFAR-10, NPY, NPZ or .gfd "
                     "(default {})",
                     d.data),
         set_text(a->data)},
        {"--skip-bad", "", "leaves out images of a folder that cannot be read", set_true(a->skip_bad)},
        data_memory_flag(a->data_memory),
        {"--resume", "RUN", "goes on with a run folder, or from one of its checkpoints", set_text(a->resume)}}},
      {"How",
       {{"--steps", "N", count("steps in total, those before --resume included", d.steps),
         set_whole(a->steps, 1, max_steps)},
        {"--epochs", "N", "the same in passes over the data", set_whole(a->epochs, 1, 1'000'000)},
        {"--batch", "N", count("real samples a step, and as many generated ones", d.training.batch),
         set_whole(a->batch, 1, 1'000'000)},
        {"--objective", "NAME", fmt::format("{} (default that of the preset)", fmt::join(objective_names(), ", ")),
         set_choice(a->objective, objective_names())},
        {"--d-steps", "N", "discriminator updates a step (default that of the preset)", set_whole(a->d_steps, 1, 100)},
        {"--r1", "GAMMA", "gradient penalty on real samples, γ/2·‖∇D‖²", set_rate(a->r1)},
        {"--r2", "GAMMA", "the same on generated samples", set_rate(a->r2)},
        {"--gp", "LAMBDA", "gradient penalty of WGAN-GP, λ·(‖∇D‖ − 1)² between real and generated samples",
         set_rate(a->gp)},
        {"--clip", "C", "keeps the discriminator's weights within ±C", set_rate(a->clip)},
        {"--augment", "LIST",
         "color,translation,cutout (DiffAugment) or some of them, or none: changes of all that D sees",
         set_text(a->augment)},
        {"--lr-g", "RATE", fmt::format("learning rate of the generator (default {})", d.training.generator_adam.lr),
         set_rate(a->lr_g)},
        {"--lr-d", "RATE",
         fmt::format("learning rate of the discriminator (default {})", d.training.discriminator_adam.lr),
         set_rate(a->lr_d)},
        precision_flag(a->precision),
        {"--seed", "N",
         count("of weights, noise and the order of the data", static_cast<std::int64_t>(d.training.seed)),
         set_whole(a->seed, 0, std::numeric_limits<std::int64_t>::max())}}},
      {"What to write",
       {{"--out", "DIR", "folder that receives the numbered run folders (default runs)", set_text(a->out)},
        {"--sample-every", "N", count("steps between sample grids; 0: none", d.sample_every),
         set_whole(a->sample_every, 0, max_steps)},
        {"--checkpoint-every", "N", count("steps between checkpoints; 0: only at the end", d.checkpoint_every),
         set_whole(a->checkpoint_every, 0, max_steps)},
        {"--eval-every", "N",
         count("steps between measurements (as `ganforge eval`), of which the best checkpoint is kept; 0: none",
               d.eval_every),
         set_whole(a->eval_every, 0, max_steps)},
        {"--progress", "STYLE", "auto (a live line on a terminal), plain or none (default auto)",
         set_choice(a->progress, {"auto", "plain", "none"})},
        {"--on-nan", "ACTION",
         "what to do when a value is not finite, after saying which: stop, or rollback to the last checkpoint with "
         "half "
         "the learning rates (default stop)",
         set_choice(a->on_nan, {"stop", "rollback"})},
        {"--dry-run", "", "shows networks, kernels, memory and on a GPU the least time of a step, and stops",
         set_true(a->dry_run)}}},
      {"Convolutions",
       {{"--conv", "MODE", "auto (a rule on sizes), library, own or direct (default auto); --dry-run shows the choice",
         set_choice(a->conv, conv_mode_names())},
        {"--tune", "", "measures each convolution once and keeps the fastest kernels with the run",
         set_true(a->tune)}}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>& words) { return train(*a, words); };
  return command;
}

}  // namespace ganforge
