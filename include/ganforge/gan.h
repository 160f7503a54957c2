// Generative adversarial networks: the trainer, its configuration, and the presets.
#pragma once

#include <ganforge/augment.h>
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
#include <optional>
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

/// Latent codes that a code_head of the discriminator is to find again in a generated sample: InfoGAN (Chen et al.,
/// arXiv:1606.03657). They are inputs of the generator, behind the latents.
struct CodeOptions {
  std::int64_t categories = 0;  ///< one of so many, with equal chances, as a one-hot vector; 0: none
  std::int64_t continuous = 0;  ///< so many numbers from U(−1, 1)
  float category_weight = 1, continuous_weight = 0.1f;  ///< of cross-entropy and squared error, in both losses

  std::int64_t size() const { return categories + continuous; }
};

/// What a training run is made of; every value has the default of a Keras tutorial.
///
/// Models with layers that read the class of each sample (layers.h) are conditional. A step draws the labels of its
/// real samples, and asks the generator for samples of the same classes: both networks see the classes as often as they
/// are in the data. The classes are those of the data set.
struct TrainerOptions {
  Model generator, discriminator;
  LatentSpec latent = 100;  ///< shape without the batch, and distribution
  Objective objective = Objective::non_saturating;
  float real_target = 1.0f;  ///< one-sided label smoothing: below 1, e.g. 0.9; where has_target(objective)
  std::int64_t batch = 64;   ///< real samples, and as many generated ones, in a pass
  int d_steps = 1;           ///< discriminator updates a step
  /// The generator's update draws latents of its own, and real samples if the objective is relativistic (WGAN-GP,
  /// SNGAN, R3GAN). Else it reuses those of the discriminator's last update (DCGAN, and cheaper).
  bool fresh_latents = false;
  std::vector<Penalty> penalties;   ///< at most one of each kind; intervals other than 1 must agree
  float classification_weight = 1;  ///< of a class_head: D on real samples, G on its own
  CodeOptions codes;
  float weight_clip = 0;  ///< the discriminator's weights stay within ± this (the first WGAN); 0: anywhere
  /// What every sample that the discriminator sees goes through, in both updates; `low` and `high` follow the
  /// trainer's.
  Augmentation augment;
  float augment_probability = 1;  ///< of each of the three changes
  Decay augment_probability_decay;
  float instance_noise = 0;  ///< standard deviation of noise on these samples, behind the augmentation
  Decay instance_noise_decay;
  int pack = 1;        ///< the discriminator judges so many samples of a kind at once (PacGAN), channels side by side
  int accumulate = 1;  ///< an update's gradient is the mean over so many micro-batches of `batch` samples
  /// A network's gradient is scaled down to this norm where it is longer; 0: never.
  float generator_max_norm = 0, discriminator_max_norm = 0;
  AdamOptions generator_adam = {.lr = 1e-3f, .beta1 = 0.5f, .eps = 1e-7f};
  AdamOptions discriminator_adam = {.lr = 1e-3f, .beta1 = 0.5f, .eps = 1e-7f};
  Decay generator_lr_decay, discriminator_lr_decay;
  Decay generator_beta2_decay, discriminator_beta2_decay;
  float ema_decay = 0;        ///< moving average of the generator's weights; 0: none
  float ema_half_life = 0;    ///< the same as a half-life in samples: decay = ½^(batch · accumulate / half-life);
                              ///< 0: none
  Decay ema_half_life_decay;  ///< may go up from 0: the average is then the weights themselves at first
  float low = -1, high = 1;   ///< the generator's range: data bytes 0…255 are mapped to it
  std::uint64_t seed = 1;
};

/// Real samples that a step draws.
std::int64_t samples_per_step(const TrainerOptions& options);
/// Shape of what a generator gets for n samples: [n, latents, and codes behind them].
Shape generator_input(const TrainerOptions& options, std::int64_t n);

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
  /// Of a class_head: cross-entropy on real samples, not weighted; share of real samples that it has right, and of
  /// generated ones that it takes for what they were asked to be. Not in d_loss.
  std::optional<float> class_loss, class_accuracy, class_agreement;
  std::optional<float> code_loss;  ///< of a code_head, weighted; not in d_loss
};

/// Which samples of a model are wanted; an empty list is its default.
struct SampleOptions {
  std::uint64_t seed = 0;
  std::vector<std::int64_t> latents = {};  ///< a number for each sample: equal ones, equal latents. Default 0, 1, 2, …
  std::vector<std::int32_t> labels = {};   ///< a conditional model: the class of each. Default: all classes in turn
  std::vector<std::int32_t> categories = {};  ///< a model with codes: each sample's. Default: drawn as in training
  std::vector<float> continuous = {};         ///< [n, codes.continuous]. Default: drawn as in training
};

/// Generated samples on the host.
struct Samples {
  Shape shape;  ///< [n, …]
  std::vector<float> values;
  float low = -1, high = 1;
  int columns = 0;  ///< of a grid of them; 0: about square
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

  /// n samples from latents that depend on `seed` and their number alone; running statistics, and the moving average of
  /// the weights if there is one. Throws ConfigError for options that the model has no use for.
  Samples sample(std::int64_t n, const SampleOptions& options);
  Samples sample(std::int64_t n, std::uint64_t seed = 0) { return sample(n, SampleOptions{.seed = seed}); }
  /// What shows a model best. Of a conditional one, a row for each class (the first 32) and in each of ten columns the
  /// same latents. With codes, a row for each category, the first continuous code running from −1 to 1 along it, all
  /// else equal. Of others, n samples.
  Samples picture(std::int64_t n = 64, std::uint64_t seed = 0);
  /// Names of the classes that samples are asked for by; empty unless the model is conditional.
  const std::vector<std::string>& classes() const { return classes_; }

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
  /// Throws ConfigError if the heads of the discriminator and what the options say of them do not fit.
  void check_heads() const;
  void build_sampling(Graph& graph);
  void compile_programs();
  /// What a step reported, its quantities `stride` floats apart: to the callback, and looked at for what is not finite.
  void emit(const float* row, std::int64_t stride, std::int64_t step, const std::function<void(const Stats&)>& callback,
            std::int64_t every) const;
  bool healthy(const float* row, std::int64_t stride) const;
  void emit_ring(const std::function<void(const Stats&)>& callback, std::int64_t every);
  bool lazy_step() const;

  Device& device_;
  const Dataset& data_;
  TrainerOptions options_;
  VariableStore store_;
  std::vector<std::string> classes_;  // of a conditional model
  std::unique_ptr<Network> generator_, discriminator_;
  std::vector<Program> programs_;            // step, sampling, and the step with lazy penalties if there are any
  static constexpr std::size_t checks_ = 4;  // a report begins with those of the updates: 0 if all was finite
  std::vector<std::string> reported_names_;  // what the step reports, in its order
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
  /// Names of the classes that a conditional model was made for; empty: those of the data.
  std::vector<std::string> classes;
  std::int64_t eval_every = 0;  ///< steps between measurements (training_eval.h); 0: none
  std::int64_t eval_samples = 2500;
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
/// "color", "translation", "cutout": adds to `options`.
void add_augmentation(Augmentation& options, const std::string& name);
std::vector<std::string> augmentation_names();
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
