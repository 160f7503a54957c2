#include "kernels/adam.h"
#include "kernels/prologue.h"
#include "src/gan/heads.h"
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

/// On CUDA the ring is looked at so often: well before its rows are written again.
constexpr std::int64_t ring_interval = ring_rows / 4;

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

Shape generator_input(const TrainerOptions& o, std::int64_t n) {
  const Shape shape = batched(n, o.latent.shape);
  return o.codes.size() > 0 ? shape.with(1, shape[1] + o.codes.size()) : shape;
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
  const std::int64_t n = options_.batch, classes = std::ssize(data_.classes());
  // Networks that take labels are found by giving them some.
  const std::int64_t placeholder = std::max<std::int64_t>(1, classes);
  generator_ =
      std::make_unique<Network>(store_, "generator", options_.generator, generator_input(options_, n), placeholder);
  if (generator_->output_shape() != batched(n, data_.sample()))
    throw ShapeError(fmt::format("the generator makes samples {}, but those of {} are {}",
                                 Shape(generator_->output_shape().extents().subspan(1)).str(), data_.name(),
                                 data_.sample().str()));
  discriminator_ = std::make_unique<Network>(store_, "discriminator", options_.discriminator,
                                             batched(n, data_.sample()), placeholder);
  if (discriminator_->output_shape().elements() != n)
    throw ShapeError(fmt::format("the discriminator must make one number a sample, but makes {}",
                                 Shape(discriminator_->output_shape().extents().subspan(1)).str()));
  if (generator_->uses_labels() || discriminator_->uses_labels()) {
    if (!data_.has_labels())
      throw ConfigError(
          fmt::format("the model is conditional, but {} has no labels; a folder with a sub-folder of images "
                      "for each class has, and so have fashion-mnist, mnist and cifar-10",
                      data_.name()));
    classes_ = data_.classes();
  }
  check_heads();
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
  wanted.labels = !classes_.empty();
  LatentSpec latent = o.latent;
  const std::int64_t generated = o.fresh_latents ? rows + n : rows;
  latent.shape = batched(generated, latent.shape);
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

  const std::size_t first_code = wanted.latents.size();
  for (const LatentSpec& spec : code_latents(o.codes, generated)) wanted.latents.push_back(spec);

  const Drawn drawn = draw(context, data_, wanted);
  std::vector<ActivePenalty> penalties;
  std::size_t next_schedule = 2;
  for (const Penalty& p : active)
    penalties.push_back({p.kind, p.decay.kind != Schedule::Kind::constant
                                     ? drawn.schedules[next_schedule++]
                                     : constant(graph, static_cast<double>(p.weight), {DType::float32, {}})});
  const Values reals = split(drawn.real, static_cast<int>(drawn.real.shape()[0] / n));
  const std::vector<CodedLatents> latents = with_codes(drawn.latents[0], std::span(drawn.latents).subspan(first_code),
                                                       o.codes, static_cast<int>(generated / n));
  const Values labels = drawn.labels ? split(drawn.labels, static_cast<int>(reals.size())) : Values(reals.size());
  const std::int64_t classes = std::ssize(classes_);
  const auto asked = [&](const Value& of) { return of ? context.labels(of, classes) : context; };
  const auto part = [&](int number, std::size_t k) {
    return number > 0 ? split(drawn.latents[static_cast<std::size_t>(number)], o.d_steps)[k] : Value();
  };

  Value real, fake, penalty, label;
  DiscriminatorLoss d;
  HeadLosses d_heads;
  UpdateCheck d_check;
  for (std::size_t k = 0; k < static_cast<std::size_t>(o.d_steps); ++k) {
    real = reals[k];
    label = labels[k];
    fake = (*generator_)(asked(label), latents[k].z);
    const DiscriminatorPass pass =
        discriminate(context, *discriminator_,
                     {real, fake, part(share, k), part(dragan_share, k), part(noise, k), label, classes}, penalties);
    d = discriminator_loss(pass.logits, o.objective, o.real_target);
    d_heads = head_losses(o, pass.emitted, label, latents[k], true);
    penalty = pass.penalty;
    Value loss = d.loss;
    for (const Value& term : {penalty, d_heads.weighted})
      if (term) loss = loss + term;
    d_check = adam(context, *discriminator_, grad(loss, discriminator_->parameters(context)), o.discriminator_adam,
                   drawn.schedules[0]);
    if (o.weight_clip > 0) {
      Variable& weights = discriminator_->weights();
      const double limit = static_cast<double>(o.weight_clip);
      graph.assign(weights, clamp(graph.read(weights), -limit, limit));
    }
  }
  // Reads the weights just assigned; those get no gradient here, so none is computed.
  if (fresh_reals) real = reals.back(), label = labels.back();
  if (o.fresh_latents) fake = (*generator_)(asked(label), latents.back().z);
  const Value on_real = is_relativistic(o.objective) ? (*discriminator_)(asked(label), real) : Value();
  std::map<std::string, Value> emitted;
  const Value on_fake = (*discriminator_)(asked(label).collect(emitted), fake);
  const Value g_loss = generator_loss(on_fake, o.objective, on_real);
  const HeadLosses g_heads = head_losses(o, emitted, label, latents.back(), false);
  const UpdateCheck g_check =
      adam(context, *generator_,
           grad(g_heads.weighted ? g_loss + g_heads.weighted : g_loss, generator_->parameters(context)),
           o.generator_adam, drawn.schedules[1]);
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
  report.insert(report.end(), d_heads.report.begin(), d_heads.report.end());
  context.report(report);
  reported_names_.clear();
  for (const auto& [name, value] : report) reported_names_.push_back(name);
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
  const auto find = [&](const char* name) -> std::optional<float> {
    const auto found = std::ranges::find(reported_names_, name);
    if (found == reported_names_.end()) return std::nullopt;
    return row[(found - reported_names_.begin()) * static_cast<std::ptrdiff_t>(statistics_stride)];
  };
  const auto at = [&](const char* name) { return find(name).value_or(0.0f); };
  if (step % every == 0)
    callback({step, step * samples_per_step(options_), at("d_loss"), at("g_loss"), at("d_real"), at("d_fake"),
              at("d_accuracy"), at("penalty"), find("class_loss"), find("class_accuracy"), find("class_agreement"),
              find("code_loss")});

  // In the order in which a step comes to them.
  const std::int64_t d_size = discriminator_->weights().type.shape[0], g_size = generator_->weights().type.shape[0];
  const auto fail = [&](const std::string& what) {
    device_.synchronize();
    throw DivergedError(step, what);
  };
  if (at("d_weights") > 0) fail("weight " + bad_parameter(*discriminator_, d_size, at("d_weights")));
  if (at("g_weights") > 0) fail("weight " + bad_parameter(*generator_, g_size, at("g_weights")));
  if (!std::isfinite(at("d_loss"))) fail("d_loss");
  for (const char* loss : {"penalty", "class_loss", "code_loss"})
    if (!std::isfinite(at(loss))) fail(loss);
  if (at("d_gradients") > 0) fail("gradient of " + bad_parameter(*discriminator_, d_size, at("d_gradients")));
  if (!std::isfinite(at("g_loss"))) fail("g_loss");
  if (at("g_gradients") > 0) fail("gradient of " + bad_parameter(*generator_, g_size, at("g_gradients")));
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

}  // namespace ganforge
