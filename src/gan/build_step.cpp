// The graph of a training step: what it draws, the discriminator's updates, the generator's.
#include "src/gan/heads.h"
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
  Value labels() const { return drawn_.labels; }
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
  options.labels = !classes_.empty();
  Wanted wanted(options);
  LatentSpec latent = o.latent;
  const std::int64_t generated = o.fresh_latents ? rows + last : rows;
  latent.shape = batched(generated, latent.shape);
  const std::size_t z = wanted.latent(latent);
  std::vector<std::size_t> code_numbers;
  for (const LatentSpec& spec : code_latents(o.codes, generated)) code_numbers.push_back(wanted.latent(spec));
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
  Values codes;
  for (const std::size_t number : code_numbers) codes.push_back(wanted.latent_of(number));
  const std::vector<CodedLatents> latents =
      with_codes(wanted.latent_of(z), codes, o.codes, static_cast<int>(generated / n));
  const Values labels = wanted.labels() ? split(wanted.labels(), static_cast<int>(reals.size())) : Values(reals.size());
  const std::int64_t classes = std::ssize(classes_);
  const auto asked = [&](const Value& of) { return of ? context.labels(of, classes) : context; };
  const auto part = [&](std::size_t number, std::size_t k) {
    return number == Wanted::none ? Value() : split(wanted.latent_of(number), batches)[k];
  };

  Values real, fake;  // the last update's
  Value penalty;
  DiscriminatorLoss d;
  HeadLosses d_heads;
  UpdateCheck d_check;
  for (int step = 0; step < o.d_steps; ++step) {
    Update update(context, *discriminator_, o, o.discriminator_max_norm);
    real.clear(), fake.clear();
    for (int micro = 0; micro < o.accumulate; ++micro) {
      const auto k = static_cast<std::size_t>(step * o.accumulate + micro);
      real.push_back(reals[k]);
      fake.push_back((*generator_)(asked(labels[k]), latents[k].z));
      const DiscriminatorPass pass = discriminate(
          context, judge,
          {real.back(), fake.back(), part(share, k), part(dragan_share, k), part(dragan_noise, k), labels[k], classes},
          penalties);
      d = discriminator_loss(pass.logits, o.objective, o.real_target);
      penalty = pass.penalty;
      d_heads = head_losses(o, pass.emitted, labels[k], latents[k], true);
      Value loss = d.loss;
      for (const Value& term : {penalty, d_heads.weighted})
        if (term) loss = loss + term;
      update.add(loss);
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
    // What the last update of the discriminator was made from, or batches of its own behind those.
    const auto own = static_cast<std::size_t>(batches + micro), k = static_cast<std::size_t>(micro);
    const auto reused = static_cast<std::size_t>((o.d_steps - 1) * o.accumulate + micro);
    const std::size_t z_of = o.fresh_latents ? own : reused, real_of = fresh_reals ? own : reused;
    const Context here = asked(labels[real_of]);
    const Value made = o.fresh_latents ? (*generator_)(here, latents[z_of].z) : fake[k];
    const Value on_real = is_relativistic(o.objective) ? judge(here, reals[real_of]) : Value();
    std::map<std::string, Value> emitted;
    g_loss = generator_loss(judge(here.collect(emitted), made), o.objective, on_real);
    const HeadLosses heads = head_losses(o, emitted, labels[real_of], latents[z_of], false);
    update.add(heads.weighted ? g_loss + heads.weighted : g_loss);
  }
  const UpdateCheck g_check = update.apply(o.generator_adam, g_rates);
  std::vector<std::pair<std::string, Value>> report = {{"d_weights", d_check.weights},
                                                       {"d_gradients", d_check.gradients},
                                                       {"g_weights", g_check.weights},
                                                       {"g_gradients", g_check.gradients},
                                                       {"d_loss", d.loss},
                                                       {"g_loss", g_loss},
                                                       {"d_real", d.d_real},
                                                       {"d_fake", d.d_fake},
                                                       {"d_accuracy", d.accuracy}};
  if (!o.penalties.empty()) report.emplace_back("penalty", penalty ? penalty : scalar(graph, 0));
  report.insert(report.end(), d_heads.report.begin(), d_heads.report.end());
  context.report(report);
  reported_names_.clear();
  for (const auto& [name, value] : report) reported_names_.push_back(name);
}

}  // namespace ganforge
