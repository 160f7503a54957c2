#include "kernels/adam.h"
#include "kernels/prologue.h"
#include "src/gan/penalties.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace ganforge {
namespace {

constexpr std::int64_t sampling_batch = 64;
/// On CUDA the ring is looked at so often: well before its rows are written again.
constexpr std::int64_t ring_interval = ring_rows / 4;

/// Order of the quantities that a step reports.
enum Slot {
  slot_d_loss,
  slot_g_loss,
  slot_d_real,
  slot_d_fake,
  slot_d_accuracy,
  slot_d_weights,  // as AdamResult::bad_w and bad_g
  slot_d_gradients,
  slot_g_weights,
  slot_g_gradients,
  slot_penalty
};

/// The name of the parameter that an UpdateCheck points to.
const std::string& bad_parameter(const Network& network, std::int64_t elements, float check) {
  const std::int64_t line = elements / bad_line - static_cast<std::int64_t>(check);
  return network.parameter_at(line * bad_line).name;
}

Shape batched(std::int64_t n, const Shape& sample) {
  std::vector<std::int64_t> extents = {n};
  extents.insert(extents.end(), sample.extents().begin(), sample.extents().end());
  return Shape(extents);
}

void check(const TrainerOptions& o, const Dataset& data) {
  if (!o.generator || !o.discriminator) throw ConfigError("a generator and a discriminator are wanted");
  validate(o);
  if (samples_per_step(o) > data.count())
    throw ConfigError(fmt::format(
        "a step draws {} samples (batch {} × d_steps {}{}), but {} has {}; use a smaller batch", samples_per_step(o),
        o.batch, o.d_steps, samples_per_step(o) > o.batch * o.d_steps ? ", and a batch for the generator" : "",
        data.name(), data.count()));
}

/// Shape [n, 1, …] that multiplies samples one by one.
Shape one_a_sample(std::int64_t n, const Shape& sample) {
  std::vector<std::int64_t> extents(static_cast<std::size_t>(sample.rank()) + 1, 1);
  extents[0] = n;
  return Shape(extents);
}

}  // namespace

std::int64_t samples_per_step(const TrainerOptions& o) {
  return o.batch * (o.d_steps + (o.fresh_latents && is_relativistic(o.objective) ? 1 : 0));
}

void write_png(const std::filesystem::path& path, const Samples& samples) {
  const Shape sample(samples.shape.extents().subspan(1));
  write_png(path, make_grid(samples.values, sample, samples.low, samples.high));
}

DivergedError::DivergedError(std::int64_t bad_step, const std::string& what_is_bad)
    : Error(fmt::format("training diverged at step {}: the {} is not finite", bad_step, what_is_bad)),
      step(bad_step),
      tensor(what_is_bad) {}

Trainer::Trainer(Device& device, const Dataset& data, TrainerOptions options)
    : device_(device),
      data_(data),
      options_(std::move(options)),
      store_(device, options_.seed),
      ring_(device, static_cast<std::size_t>(ring_rows * statistics_slots) * sizeof(float)),
      ring_tick_(device, static_cast<std::size_t>(ring_rows) * sizeof(std::int64_t)) {
  check(options_, data_);
  const std::int64_t n = options_.batch;
  generator_ = std::make_unique<Network>(store_, "generator", options_.generator, batched(n, options_.latent.shape));
  if (generator_->output_shape() != batched(n, data_.sample()))
    throw ShapeError(fmt::format("the generator makes samples {}, but those of {} are {}",
                                 Shape(generator_->output_shape().extents().subspan(1)).str(), data_.name(),
                                 data_.sample().str()));
  discriminator_ =
      std::make_unique<Network>(store_, "discriminator", options_.discriminator, batched(n, data_.sample()));
  if (discriminator_->output_shape().elements() != n)
    throw ShapeError(fmt::format("the discriminator must make one number a sample, but makes {}",
                                 Shape(discriminator_->output_shape().extents().subspan(1)).str()));
  if (options_.ema_half_life > 0) options_.ema_decay = std::exp2(-static_cast<float>(n) / options_.ema_half_life);
  if (options_.ema_decay > 0) generator_->enable_ema(options_.ema_decay);
  for (const Penalty& penalty : options_.penalties)
    if (penalty.interval > 1) lazy_interval_ = penalty.interval;
  compile_programs();
}

/// The prologue draws for all updates of a step at once; `lazy`: with the penalties that only some steps have.
void Trainer::build_step(Graph& graph, bool lazy) {
  const TrainerOptions& o = options_;
  Context context(graph, store_, Mode::training);
  const std::int64_t n = o.batch, rows = n * o.d_steps;
  const bool fresh_reals = samples_per_step(o) > rows;
  DrawOptions wanted;
  wanted.rows = samples_per_step(o);
  wanted.low = o.low;
  wanted.high = o.high;
  LatentSpec latent = o.latent;
  latent.shape = batched(o.fresh_latents ? rows + n : rows, latent.shape);
  wanted.latents = {latent};
  wanted.schedules = {o.discriminator_lr_decay.from(o.discriminator_adam.lr),
                      o.generator_lr_decay.from(o.generator_adam.lr)};

  std::vector<Penalty> active;
  int share = 0, dragan_share = 0, noise = 0;  // numbers of latents, 0: none
  const auto draw_uniform = [&](const Shape& shape) {
    wanted.latents.emplace_back(shape, true, 0.0f, 1.0f);
    return static_cast<int>(wanted.latents.size()) - 1;
  };
  for (Penalty p : o.penalties) {
    if (p.interval > 1 && !lazy) continue;
    if (p.kind == Penalty::Kind::gp) share = draw_uniform(one_a_sample(rows, data_.sample()));
    if (p.kind == Penalty::Kind::dragan) {
      dragan_share = draw_uniform(one_a_sample(rows, data_.sample()));
      noise = draw_uniform(batched(rows, data_.sample()));
    }
    p.weight *= static_cast<float>(p.interval);
    p.decay.to *= static_cast<float>(p.interval);
    if (p.decay.kind != Schedule::Kind::constant) wanted.schedules.push_back(p.decay.from(p.weight));
    active.push_back(p);
  }

  const Drawn drawn = draw(context, data_, wanted);
  std::vector<ActivePenalty> penalties;
  std::size_t next_schedule = 2;
  for (const Penalty& p : active)
    penalties.push_back({p.kind, p.decay.kind != Schedule::Kind::constant
                                     ? drawn.schedules[next_schedule++]
                                     : constant(graph, static_cast<double>(p.weight), {DType::float32, {}})});
  const Values reals = split(drawn.real, static_cast<int>(drawn.real.shape()[0] / n));
  const Values latents = split(drawn.latents[0], static_cast<int>(latent.shape[0] / n));
  const auto part = [&](int number, std::size_t k) {
    return number > 0 ? split(drawn.latents[static_cast<std::size_t>(number)], o.d_steps)[k] : Value();
  };

  Value real, fake, penalty;
  DiscriminatorLoss d;
  UpdateCheck d_check;
  for (std::size_t k = 0; k < static_cast<std::size_t>(o.d_steps); ++k) {
    real = reals[k];
    fake = (*generator_)(context, latents[k]);
    const DiscriminatorPass pass = discriminate(
        context, *discriminator_, {real, fake, part(share, k), part(dragan_share, k), part(noise, k)}, penalties);
    d = discriminator_loss(pass.logits, o.objective, o.real_target);
    penalty = pass.penalty;
    d_check =
        adam(context, *discriminator_, grad(penalty ? d.loss + penalty : d.loss, discriminator_->parameters(context)),
             o.discriminator_adam, drawn.schedules[0]);
    if (o.weight_clip > 0) {
      Variable& weights = discriminator_->weights();
      const double limit = static_cast<double>(o.weight_clip);
      graph.assign(weights, clamp(graph.read(weights), -limit, limit));
    }
  }
  // Reads the weights just assigned; those get no gradient here, so none is computed.
  if (o.fresh_latents) fake = (*generator_)(context, latents.back());
  if (fresh_reals) real = reals.back();
  const Value on_real = is_relativistic(o.objective) ? (*discriminator_)(context, real) : Value();
  const Value g_loss = generator_loss((*discriminator_)(context, fake), o.objective, on_real);
  const UpdateCheck g_check =
      adam(context, *generator_, grad(g_loss, generator_->parameters(context)), o.generator_adam, drawn.schedules[1]);
  std::vector<std::pair<std::string, Value>> report = {{"d_loss", d.loss},
                                                       {"g_loss", g_loss},
                                                       {"d_real", d.d_real},
                                                       {"d_fake", d.d_fake},
                                                       {"d_accuracy", d.accuracy},
                                                       {"d_weights", d_check.weights},
                                                       {"d_gradients", d_check.gradients},
                                                       {"g_weights", g_check.weights},
                                                       {"g_gradients", g_check.gradients}};
  if (!o.penalties.empty())
    report.emplace_back("penalty", penalty ? penalty : constant(graph, 0, {DType::float32, {}}));
  context.report(report);
}

void Trainer::build_sampling(Graph& graph) {
  const Context context = Context(graph, store_, Mode::inference).ema();
  const Value z = graph.input("z", {DType::float32, batched(sampling_batch, options_.latent.shape)});
  graph.output("samples", (*generator_)(context, z));
}

void Trainer::compile_programs() {
  Graph step, sampling, lazy_step;
  build_step(step, false);
  build_sampling(sampling);
  std::vector<Graph*> graphs = {&step, &sampling};
  if (lazy_interval_ > 0) {
    build_step(lazy_step, true);
    graphs.push_back(&lazy_step);
  }
  try {
    programs_ = compile(device_, graphs);
  } catch (const OutOfMemory& error) {
    // Nearly all of a step's memory grows with the batch.
    const double share = static_cast<double>(error.free) / static_cast<double>(error.asked);
    const auto fits = static_cast<std::int64_t>(0.9 * share * static_cast<double>(options_.batch));
    throw OutOfMemory(
        fmt::format("{}; batch {} is too large here, {}", error.what(), options_.batch,
                    fits >= 1 ? fmt::format("one of about {} would fit", fits) : "and no batch would fit"),
        error.asked, error.free);
  }
}

/// A lazy penalty counts in steps 0, interval, 2·interval, … since initialisation.
bool Trainer::lazy_step() const {
  return lazy_interval_ > 0 && step_ % lazy_interval_ == 0;
}

void Trainer::run(std::int64_t steps, const std::function<void(const Stats&)>& callback, std::int64_t every,
                  const std::function<bool()>& stop) {
  const bool wanted = callback && every > 0;
  const std::function<void(const Stats&)> receive = wanted ? callback : [](const Stats&) {};
  if (!wanted) every = std::numeric_limits<std::int64_t>::max();
  float statistics[statistics_slots * statistics_stride];
  bool ring_pending = false;
  reported_ = step_;
  for (std::int64_t i = 0; i < steps && !(stop && stop()); ++i) {
    programs_[lazy_step() ? 2 : 0].run();
    ++step_;
    if (!device_.is_cuda()) {
      store_.download(*store_.find(statistics_variable), statistics);
      emit(statistics, step_, receive, every);
    } else if (step_ % ring_interval == 0) {
      // What was copied an interval ago is here by now; the step goes on meanwhile.
      if (ring_pending) emit_ring(receive, every);
      ring_.start(store_.find(ring_variable)->data());
      ring_tick_.start(store_.find(ring_tick_variable)->data());
      ring_pending = true;
    }
  }
  device_.synchronize();
  if (!device_.is_cuda()) return;
  if (ring_pending) emit_ring(receive, every);
  ring_.start(store_.find(ring_variable)->data());
  ring_tick_.start(store_.find(ring_tick_variable)->data());
  emit_ring(receive, every);
  // The last step's report is filed by the step that follows it.
  if (reported_ < step_) {
    store_.download(*store_.find(statistics_variable), statistics);
    emit(statistics, step_, receive, every);
    reported_ = step_;
  }
}

void Trainer::emit(const float* row, std::int64_t step, const std::function<void(const Stats&)>& callback,
                   std::int64_t every) const {
  const auto at = [&](Slot slot) { return row[slot * statistics_stride]; };
  if (step % every == 0)
    callback({step, step * samples_per_step(options_), at(slot_d_loss), at(slot_g_loss), at(slot_d_real),
              at(slot_d_fake), at(slot_d_accuracy), options_.penalties.empty() ? 0.0f : at(slot_penalty)});

  // In the order in which a step comes to them.
  const std::int64_t d_size = discriminator_->weights().type.shape[0], g_size = generator_->weights().type.shape[0];
  const auto fail = [&](const std::string& what) {
    device_.synchronize();
    throw DivergedError(step, what);
  };
  if (at(slot_d_weights) > 0) fail("weight " + bad_parameter(*discriminator_, d_size, at(slot_d_weights)));
  if (at(slot_g_weights) > 0) fail("weight " + bad_parameter(*generator_, g_size, at(slot_g_weights)));
  if (!std::isfinite(at(slot_d_loss))) fail("d_loss");
  if (!options_.penalties.empty() && !std::isfinite(at(slot_penalty))) fail("penalty");
  if (at(slot_d_gradients) > 0) fail("gradient of " + bad_parameter(*discriminator_, d_size, at(slot_d_gradients)));
  if (!std::isfinite(at(slot_g_loss))) fail("g_loss");
  if (at(slot_g_gradients) > 0) fail("gradient of " + bad_parameter(*generator_, g_size, at(slot_g_gradients)));
}

std::optional<BadValue> Trainer::find_bad_value() {
  Graph step;
  build_step(step, lazy_step());
  std::optional<BadValue> found = compile(device_, step, {.capture = false, .unplanned = true}).find_bad_value();
  ++step_;
  if (!found) return found;
  // A flat buffer has the parameter's name.
  for (Network* network : {generator_.get(), discriminator_.get()}) {
    const bool computed = found->variable.empty();
    const std::string owner = computed ? found->scope + "/" : found->variable;
    if (!owner.starts_with(network->name() + "/") || found->type != network->weights().type) continue;
    const Network::Parameter& parameter = network->parameter_at(found->element);
    const std::string buffer = owner.substr(network->name().size() + 1);
    if (computed)
      found->scope = parameter.name;
    else
      found->variable = buffer == "weights" ? parameter.name : fmt::format("{} ({})", parameter.name, buffer);
    found->element -= parameter.offset;
    found->type.shape = parameter.shape;
  }
  return found;
}

void Trainer::emit_ring(const std::function<void(const Stats&)>& callback, std::int64_t every) {
  const auto* rows = static_cast<const float*>(ring_.wait());
  const auto* ticks = static_cast<const std::int64_t*>(ring_tick_.wait());
  // Rows are filed in order of their tick, around the ring.
  for (std::int64_t tick = reported_ + 1; tick <= step_; ++tick) {
    const std::int64_t row = (tick - 1) % ring_rows;
    if (ticks[row] != tick) break;  // not filed yet when the copy was made
    reported_ = tick;
    float spread[statistics_slots * statistics_stride] = {};
    for (int slot = 0; slot < statistics_slots; ++slot)
      spread[slot * statistics_stride] = rows[row * statistics_slots + slot];
    emit(spread, tick, callback, every);
  }
}

Samples Trainer::sample(std::int64_t n, std::uint64_t seed) {
  if (n < 1) throw ConfigError(fmt::format("at least one sample is wanted, got {}", n));
  Program& program = programs_[1];
  const Shape per_run = program.output_type("samples").shape;
  const auto latents = static_cast<std::size_t>(sampling_batch * options_.latent.shape.elements());
  const auto values = static_cast<std::size_t>(per_run.elements());
  std::vector<float> z(latents);
  Samples samples{per_run.with(0, n), {}, options_.low, options_.high};
  const CpuStream stream{1, detect_isa()};
  const std::int64_t tick = 0;
  for (std::int64_t done = 0; done < n; done += sampling_batch) {
    const Draw draw{seed, purpose_sample, 0, done / sampling_batch * static_cast<std::int64_t>(latents)};
    const auto count = static_cast<std::int64_t>(latents);
    if (options_.latent.uniform)
      uniform(stream, draw, &tick, options_.latent.low, options_.latent.high, z.data(), count);
    else
      normal(stream, draw, &tick, 0, 1, z.data(), count);
    program.upload("z", z.data(), latents * sizeof(float));
    program.run();
    samples.values.resize(samples.values.size() + values);
    program.download("samples", samples.values.data() + samples.values.size() - values, values * sizeof(float));
  }
  samples.values.resize(static_cast<std::size_t>(samples.shape.elements()));
  return samples;
}

}  // namespace ganforge
