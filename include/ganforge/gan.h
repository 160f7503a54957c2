// Generative adversarial networks: the trainer, its configuration, and the presets.
#pragma once

#include <ganforge/data.h>
#include <ganforge/error.h>
#include <ganforge/layers.h>
#include <ganforge/objective.h>
#include <ganforge/penalty.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

// --- the data and noise of a step
// -------------------------------------------------------------------------------------

/// What a step draws.
struct DrawOptions {
  std::int64_t rows = 0;     ///< samples
  bool labels = false;       ///< their labels too
  float low = -1, high = 1;  ///< the range that bytes 0…255 are mapped to
  std::vector<LatentSpec> latents;
  std::vector<Schedule> schedules;
};
struct Drawn {
  Value real, labels;
  Values latents, schedules;
};
/// The prologue of an updating program: call it once, first. Advances the tick and the data cursor of the store.
Drawn draw(Context& context, const Dataset& data, const DrawOptions& options);

// --- training
// ---------------------------------------------------------------------------------------------------------

/// What a training run is made of; every value has the default of a Keras tutorial.
struct TrainerOptions {
  Model generator, discriminator;
  LatentSpec latent = 100;  ///< shape without the batch, and distribution
  Objective objective = Objective::non_saturating;
  float real_target = 1.0f;  ///< one-sided label smoothing: below 1, e.g. 0.9; where has_target(objective)
  std::int64_t batch = 64;   ///< real samples, and as many generated ones
  int d_steps = 1;           ///< discriminator updates a step
  /// The generator's update draws latents of its own, and real samples if the objective is relativistic (WGAN-GP,
  /// SNGAN, R3GAN). Else it reuses those of the discriminator's last update (DCGAN, and cheaper).
  bool fresh_latents = false;
  std::vector<Penalty> penalties;  ///< at most one of each kind; intervals other than 1 must agree
  float weight_clip = 0;           ///< the discriminator's weights stay within ± this (the first WGAN); 0: anywhere
  AdamOptions generator_adam = {.lr = 1e-3f, .beta1 = 0.5f, .eps = 1e-7f};
  AdamOptions discriminator_adam = {.lr = 1e-3f, .beta1 = 0.5f, .eps = 1e-7f};
  Decay generator_lr_decay, discriminator_lr_decay;
  float ema_decay = 0;       ///< moving average of the generator's weights; 0: none
  float ema_half_life = 0;   ///< the same as a half-life in samples: decay = ½^(batch / half-life); 0: none
  float low = -1, high = 1;  ///< the generator's range: data bytes 0…255 are mapped to it
  std::uint64_t seed = 1;
};

/// Real samples that a step draws.
std::int64_t samples_per_step(const TrainerOptions& options);

/// Throws ConfigError if a value is out of range; the message names it.
void validate(const TrainerOptions& options);

/// What a step reported.
struct Stats {
  std::int64_t step = 0;    ///< from 1
  std::int64_t images = 0;  ///< real samples seen so far
  float d_loss = 0, g_loss = 0;
  float d_real = 0, d_fake = 0;  ///< mean σ(logit) on real and generated samples; kernels/gan_loss.h
  float d_accuracy = 0;          ///< share of samples that the discriminator has on the right side
  float penalty = 0;             ///< the sum of all, weighted; not in d_loss. 0 in steps without
};

/// Generated samples on the host.
struct Samples {
  Shape shape;  ///< [n, …]
  std::vector<float> values;
  float low = -1, high = 1;
};
/// A grid of images.
void write_png(const std::filesystem::path& path, const Samples& samples);

/// Training has produced a NaN or an infinity.
class DivergedError : public Error {
 public:
  DivergedError(std::int64_t bad_step, const std::string& what_is_bad);
  std::int64_t step;   ///< the first such step, from 1
  std::string tensor;  ///< "weight discriminator/3_linear/w", "gradient of …", "d_loss"
};

/// Trains a generator against a discriminator. Both updates of a step, its data and its noise are one program.
class Trainer {
 public:
  /// Throws ShapeError if the models do not fit the data, ConfigError for options out of range, DeviceError when memory
  /// runs out (with the batch that would fit). `device` and `data` must outlive the trainer.
  Trainer(Device& device, const Dataset& data, TrainerOptions options);

  /// `steps` more steps. `callback` receives what every `every`-th step reported, a little after the step ran.
  /// Stops early, after a whole step, when `stop` returns true. Returns with all work done.
  /// Throws DivergedError once a loss, a gradient or a weight is not finite: after that step on the CPU, some steps
  /// later on CUDA, which is not waited for.
  void run(std::int64_t steps, const std::function<void(const Stats&)>& callback = {}, std::int64_t every = 100,
           const std::function<bool()>& stop = {});
  /// Number of steps done since initialisation.
  std::int64_t step() const { return step_; }

  /// Does the next step with all its values kept, and says what is the first of them that is not finite. It takes much
  /// more memory than run().
  std::optional<BadValue> find_bad_value();

  /// n samples from latents that depend on `seed` and the sample's number alone; running statistics, and the moving
  /// average of the weights if there is one.
  Samples sample(std::int64_t n, std::uint64_t seed = 0);

  /// Everything that training continues from, in one safetensors file, written atomically.
  void save(const std::filesystem::path& path, std::map<std::string, std::string> metadata = {});
  /// Continues from a checkpoint and returns its metadata. Throws FormatError if the file is damaged or of another
  /// model.
  std::map<std::string, std::string> load(const std::filesystem::path& path);

  Network& generator() { return *generator_; }
  Network& discriminator() { return *discriminator_; }
  const TrainerOptions& options() const { return options_; }
  VariableStore& store() { return store_; }
  /// The training step, without lazy penalties.
  const Program& program() const { return programs_[0]; }

 private:
  void build_step(Graph& graph, bool lazy);
  void build_sampling(Graph& graph);
  void compile_programs();
  void emit(const float* row, std::int64_t step, const std::function<void(const Stats&)>& callback,
            std::int64_t every) const;
  void emit_ring(const std::function<void(const Stats&)>& callback, std::int64_t every);
  bool lazy_step() const;

  Device& device_;
  const Dataset& data_;
  TrainerOptions options_;
  VariableStore store_;
  std::unique_ptr<Network> generator_, discriminator_;
  std::vector<Program> programs_;  // step, sampling, and the step with lazy penalties if there are any
  std::int64_t lazy_interval_ = 0;
  HostMirror ring_, ring_tick_;
  std::int64_t step_ = 0, reported_ = 0;
};

// --- configuration
// ----------------------------------------------------------------------------------------------------

/// Everything that a run of the program depends on: what config.toml holds.
struct Config {
  std::string preset;
  std::string description;             ///< for `info`; not part of the file
  std::string data = "fashion-mnist";  ///< name or path for find_dataset(); empty: none yet
  bool skip_bad = false;               ///< images of a folder that cannot be read are left out
  std::int64_t steps = 10000;
  std::int64_t sample_every = 1000, checkpoint_every = 2000, metrics_every = 20;
  std::int64_t keep_checkpoints = 3;
  Sequential generator, discriminator;
  TrainerOptions training;                ///< but for the models
  ConvPolicy convolutions;                ///< for Device::conv_policy(), before the trainer is made
  Precision precision = Precision::fp32;  ///< for Device::set_precision(), likewise
};
/// The options with the configuration's models; the range of the data follows the generator's output activation: [0, 1]
/// for sigmoid, else [−1, 1].
TrainerOptions trainer_options(const Config& config);

/// The words for them in a configuration. Throw ConfigError for another word.
Objective objective_named(const std::string& name);
std::vector<std::string> objective_names();
ConvMode conv_mode_named(const std::string& name);
std::vector<std::string> conv_mode_names();
Precision precision_named(const std::string& name);
std::vector<std::string> precision_names();

/// Throws ConfigError if a value is out of range; the message names its key.
void validate(const Config& config);
std::string to_toml(const Config& config);
/// Keys that are absent keep the value of the file's preset, if it names one, else the default. Throws ConfigError with
/// `source`, line and column for syntax, an unknown key or layer (with the nearest), a wrong type and a value out of
/// range.
Config parse_config(const std::string& toml, const std::string& source);
/// Throws FormatError if the file cannot be read.
Config load_config(const std::filesystem::path& path);

/// Throws ConfigError, with the nearest name, if there is no such preset.
Config preset(const std::string& name);
/// Makes the generator's last convolution make images of so many channels. False if it has none.
bool set_image_channels(Config& config, std::int64_t channels);
std::vector<std::string> preset_names();

}  // namespace ganforge
