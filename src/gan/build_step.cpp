// The graph of a training step: what it draws, the discriminator's updates, the generator's.
#include "src/gan/judge.h"
#include "src/gan/penalties.h"
#include "src/gan/shapes.h"

#include <ganforge/gan.h>
#include <ganforge/gradient_norm.h>

namespace ganforge {
namespace {

/// Shape [n, 1, …] that multiplies samples one by one.
Shape one_a_sample(std::int64_t n, const Shape& sample) {
  std::vector<std::int64_t> extents(static_cast<std::size_t>(sample.rank()) + 1, 1);
  extents[0] = n;
  return Shape(extents);
}

/// What the prologue is asked for, by number. A number of none stands for nothing.
class Wanted {
 public:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  explicit Wanted(DrawOptions options) : options_(std::move(options)) {}

  std::size_t latent(LatentSpec spec) {
    options_.latents.push_back(std::move(spec));
    return options_.latents.size() - 1;
  }
  std::size_t uniform(const Shape& shape) { return latent({shape, true, 0.0f, 1.0f}); }
  std::size_t schedule(float from, const Decay& decay, bool half_life = false) {
    options_.schedules.push_back(decay.from(from));
    options_.schedules.back().half_life = half_life;
    return options_.schedules.size() - 1;
  }
  /// None if the value does not move.
  std::size_t moving(float from, const Decay& decay, bool half_life = false) {
    return decay.kind == Schedule::Kind::constant ? none : schedule(from, decay, half_life);
  }

  void draw(Context& context, const Dataset& data) { drawn_ = ganforge::draw(context, data, options_); }
  Value real() const { return drawn_.real; }
  Value latent_of(std::size_t i) const { return i == none ? Value() : drawn_.latents[i]; }
  Value schedule_of(std::size_t i) const { return i == none ? Value() : drawn_.schedules[i]; }

 private:
  DrawOptions options_;
  Drawn drawn_;
};

Value scalar(Graph& graph, float value) {
  return constant(graph, static_cast<double>(value), {DType::float32, {}});
}

/// Adds up the gradients of an update's micro-batches, and makes the step.
class Update {
 public:
  Update(Context& context, Network& network, const TrainerOptions& options, float max_norm)
      : context_(context), network_(network), micro_batches_(options.accumulate), max_norm_(max_norm) {}

  void add(Value loss) {
    const Value flat = flat_gradient(context_, network_, grad(loss, network_.parameters(context_)));
    sum_ = sum_ ? sum_ + flat : flat;
  }
  UpdateCheck apply(const AdamOptions& options, AdamRates rates) {
    const float share = 1.0f / static_cast<float>(micro_batches_);
    if (max_norm_ > 0)
      rates.gradient_scale = clip_scale(sum_, max_norm_, share);
    else if (micro_batches_ > 1)
      rates.gradient_scale = scalar(context_.graph(), share);
    return adam(context_, network_, sum_, options, rates);
  }

 private:
  Context& context_;
  Network& network_;
  int micro_batches_;
  float max_norm_;
  Value sum_;
};

}  // namespace

/// The prologue draws for all updates of a step at once; `lazy`: with the penalties that only some steps have.
void Trainer::build_step(Graph& graph, bool lazy) {
  const TrainerOptions& o = options_;
  Context context(graph, store_, Mode::training);
  const std::int64_t n = o.batch, rows = n * o.accumulate * o.d_steps, last = n * o.accumulate;
  const bool fresh_reals = samples_per_step(o) > rows;
  DrawOptions options;
  options.rows = samples_per_step(o);
  options.low = o.low;
  options.high = o.high;
  Wanted wanted(options);
  LatentSpec latent = o.latent;
  latent.shape = batched(o.fresh_latents ? rows + last : rows, latent.shape);
  const std::size_t z = wanted.latent(latent);
  const std::size_t d_lr = wanted.schedule(o.discriminator_adam.lr, o.discriminator_lr_decay);
  const std::size_t g_lr = wanted.schedule(o.generator_adam.lr, o.generator_lr_decay);
  const std::size_t d_beta2 = wanted.moving(o.discriminator_adam.beta2, o.discriminator_beta2_decay);
  const std::size_t g_beta2 = wanted.moving(o.generator_adam.beta2, o.generator_beta2_decay);
  Decay ema = o.ema_half_life_decay;  // in steps
  ema.to /= static_cast<float>(last);
  const std::size_t g_ema = wanted.moving(o.ema_half_life / static_cast<float>(last), ema, true);

  std::vector<Penalty> active;
  std::vector<std::size_t> weights;
  std::size_t share = Wanted::none, dragan_share = Wanted::none, dragan_noise = Wanted::none;
  for (Penalty p : o.penalties) {
    if (p.interval > 1 && !lazy) continue;
    if (p.kind == Penalty::Kind::gp) share = wanted.uniform(one_a_sample(rows, data_.sample()));
    if (p.kind == Penalty::Kind::dragan) {
      dragan_share = wanted.uniform(one_a_sample(rows, data_.sample()));
      dragan_noise = wanted.uniform(batched(rows, data_.sample()));
    }
    p.weight *= static_cast<float>(p.interval);
    p.decay.to *= static_cast<float>(p.interval);
    weights.push_back(wanted.moving(p.weight, p.decay));
    active.push_back(p);
  }
  std::size_t numbers = Wanted::none, probability = Wanted::none, noise = Wanted::none, noise_scale = Wanted::none;
  const std::int64_t judged = judged_rows(o, active);
  if (o.augment) {
    numbers = wanted.uniform({judged, augment_numbers});
    probability = wanted.schedule(o.augment_probability, o.augment_probability_decay);
  }
  if (has_instance_noise(o)) {
    noise = wanted.latent(batched(judged, data_.sample()));
    noise_scale = wanted.schedule(o.instance_noise, o.instance_noise_decay);
  }

  wanted.draw(context, data_);
  const AdamRates d_rates{wanted.schedule_of(d_lr), wanted.schedule_of(d_beta2)};
  const AdamRates g_rates{wanted.schedule_of(g_lr), wanted.schedule_of(g_beta2), wanted.schedule_of(g_ema)};
  std::vector<ActivePenalty> penalties;
  for (std::size_t i = 0; i < active.size(); ++i)
    penalties.push_back({active[i].kind, weights[i] == Wanted::none ? scalar(graph, active[i].weight)
                                                                    : wanted.schedule_of(weights[i])});
  Augmentation augmentation = o.augment;
  augmentation.low = o.low, augmentation.high = o.high;
  Judge judge(*discriminator_, {augmentation, wanted.latent_of(numbers), wanted.schedule_of(probability),
                                wanted.latent_of(noise), wanted.schedule_of(noise_scale), o.pack});

  const int batches = o.d_steps * o.accumulate;  // of the discriminator
  const Values reals = split(wanted.real(), static_cast<int>(wanted.real().shape()[0] / n));
  const Values latents = split(wanted.latent_of(z), static_cast<int>(latent.shape[0] / n));
  const auto part = [&](std::size_t number, std::size_t k) {
    return number == Wanted::none ? Value() : split(wanted.latent_of(number), batches)[k];
  };

  Values real, fake;  // the last update's
  Value penalty;
  DiscriminatorLoss d;
  UpdateCheck d_check;
  for (int step = 0; step < o.d_steps; ++step) {
    Update update(context, *discriminator_, o, o.discriminator_max_norm);
    real.clear(), fake.clear();
    for (int micro = 0; micro < o.accumulate; ++micro) {
      const auto k = static_cast<std::size_t>(step * o.accumulate + micro);
      real.push_back(reals[k]);
      fake.push_back((*generator_)(context, latents[k]));
      const DiscriminatorPass pass = discriminate(
          context, judge, {real.back(), fake.back(), part(share, k), part(dragan_share, k), part(dragan_noise, k)},
          penalties);
      d = discriminator_loss(pass.logits, o.objective, o.real_target);
      penalty = pass.penalty;
      update.add(penalty ? d.loss + penalty : d.loss);
    }
    d_check = update.apply(o.discriminator_adam, d_rates);
    if (o.weight_clip > 0) {
      Variable& clipped = discriminator_->weights();
      const double limit = static_cast<double>(o.weight_clip);
      graph.assign(clipped, clamp(graph.read(clipped), -limit, limit));
    }
  }
  // Reads the weights just assigned; those get no gradient here, so none is computed.
  Update update(context, *generator_, o, o.generator_max_norm);
  Value g_loss;
  for (int micro = 0; micro < o.accumulate; ++micro) {
    const auto k = static_cast<std::size_t>(micro);
    const Value made =
        o.fresh_latents ? (*generator_)(context, latents[static_cast<std::size_t>(batches) + k]) : fake[k];
    const Value shown = fresh_reals ? reals[static_cast<std::size_t>(batches) + k] : real[k];
    const Value on_real = is_relativistic(o.objective) ? judge(context, shown) : Value();
    g_loss = generator_loss(judge(context, made), o.objective, on_real);
    update.add(g_loss);
  }
  const UpdateCheck g_check = update.apply(o.generator_adam, g_rates);
  std::vector<std::pair<std::string, Value>> report = {{"d_loss", d.loss},
                                                       {"g_loss", g_loss},
                                                       {"d_real", d.d_real},
                                                       {"d_fake", d.d_fake},
                                                       {"d_accuracy", d.accuracy},
                                                       {"d_weights", d_check.weights},
                                                       {"d_gradients", d_check.gradients},
                                                       {"g_weights", g_check.weights},
                                                       {"g_gradients", g_check.gradients}};
  if (!o.penalties.empty()) report.emplace_back("penalty", penalty ? penalty : scalar(graph, 0));
  context.report(report);
}

}  // namespace ganforge
