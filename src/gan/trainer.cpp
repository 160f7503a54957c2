#include "kernels/adam.h"
#include "kernels/prologue.h"
#include "src/gan/judge.h"
#include "src/gan/penalty_toml.h"
#include "src/gan/shapes.h"

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

void check(const TrainerOptions& o, const Dataset& data) {
  if (!o.generator || !o.discriminator) throw ConfigError("a generator and a discriminator are wanted");
  validate(o);
  if (samples_per_step(o) > data.count())
    throw ConfigError(fmt::format(
        "a step draws {} samples (batch {}{} × d_steps {}{}), but {} has {}; use a smaller batch", samples_per_step(o),
        o.batch, o.accumulate > 1 ? fmt::format(" × accumulate {}", o.accumulate) : "", o.d_steps,
        samples_per_step(o) > o.batch * o.accumulate * o.d_steps ? ", and a batch for the generator" : "", data.name(),
        data.count()));
  if (o.augment && data.sample().rank() != 3)
    throw ConfigError(fmt::format("augment is for images, but samples of {} are {}", data.name(), data.sample().str()));
}

}  // namespace

std::int64_t samples_per_step(const TrainerOptions& o) {
  return o.batch * o.accumulate * (o.d_steps + (o.fresh_latents && is_relativistic(o.objective) ? 1 : 0));
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
  const std::int64_t n = options_.batch, per_step = n * options_.accumulate;
  // Both are offered labels, to see whether they take them; where the data have none, of one class.
  const std::int64_t offered = std::max<std::int64_t>(1, std::ssize(data_.classes()));
  generator_ =
      std::make_unique<Network>(store_, "generator", options_.generator, generator_input(options_, n), offered);
  if (generator_->output_shape() != batched(n, data_.sample()))
    throw ShapeError(fmt::format("the generator makes samples {}, but those of {} are {}",
                                 Shape(generator_->output_shape().extents().subspan(1)).str(), data_.name(),
                                 data_.sample().str()));
  discriminator_ =
      std::make_unique<Network>(store_, "discriminator", options_.discriminator,
                                batched(n / options_.pack, packed_shape(data_.sample(), options_.pack)), offered);
  if (discriminator_->output_shape().elements() != n / options_.pack)
    throw ShapeError(fmt::format("the discriminator must make one number a {}, but makes {}",
                                 options_.pack > 1 ? "pack of samples" : "sample",
                                 Shape(discriminator_->output_shape().extents().subspan(1)).str()));
  if (generator_->uses_labels() || discriminator_->uses_labels()) {
    if (!data_.has_labels())
      throw ConfigError(
          fmt::format("the model is conditional, but {} has no labels; a folder with a sub-folder of images "
                      "for each class has, and so have fashion-mnist, mnist and cifar-10",
                      data_.name()));
    classes_ = data_.classes();
  }
  if (options_.pack > 1 && (discriminator_->uses_labels() || !discriminator_->emitted().empty()))
    throw ConfigError(
        "pack must be 1 for a discriminator that reads labels or has a code_head: a pack has many of them");
  check_heads();
  if (options_.ema_half_life > 0)
    options_.ema_decay = std::exp2(-static_cast<float>(per_step) / options_.ema_half_life);
  if (options_.ema_decay > 0 || options_.ema_half_life_decay.kind != Schedule::Kind::constant)
    generator_->enable_ema(options_.ema_decay);
  for_each_decay(options_, [&](Decay& decay) {
    if (decay.images > 0) decay.end = decay.begin + std::max<std::int64_t>(decay.images / per_step, 1);
  });
  for (const Penalty& penalty : options_.penalties)
    if (penalty.interval > 1) lazy_interval_ = penalty.interval;
  compile_programs();
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
  const Variable& reported = *store_.find(statistics_variable);
  float statistics[statistics_slots * statistics_stride];
  bool ring_pending = false;
  reported_ = step_;
  for (std::int64_t i = 0; i < steps && !(stop && stop()); ++i) {
    programs_[lazy_step() ? 2 : 0].run();
    ++step_;
    if (!device_.is_cuda()) {
      store_.download(reported, statistics);
      emit(statistics, statistics_stride, step_, receive, every);
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
    store_.download(reported, statistics);
    emit(statistics, statistics_stride, step_, receive, every);
    reported_ = step_;
  }
}

bool Trainer::healthy(const float* row, std::int64_t stride) const {
  for (std::size_t i = 0; i < reported_names_.size(); ++i) {
    const float value = row[static_cast<std::int64_t>(i) * stride];
    if (!std::isfinite(value) || (i < checks_ && value != 0)) return false;
  }
  return true;
}

void Trainer::emit(const float* row, std::int64_t stride, std::int64_t step,
                   const std::function<void(const Stats&)>& callback, std::int64_t every) const {
  const auto find = [&](const char* name) -> std::optional<float> {
    const auto found = std::ranges::find(reported_names_, name);
    if (found == reported_names_.end()) return std::nullopt;
    return row[(found - reported_names_.begin()) * stride];
  };
  const auto at = [&](const char* name) { return find(name).value_or(0.0f); };
  if (step % every == 0)
    callback({step, step * samples_per_step(options_), at("d_loss"), at("g_loss"), at("d_real"), at("d_fake"),
              at("d_accuracy"), at("penalty"), find("class_loss"), find("class_accuracy"), find("class_agreement"),
              find("code_loss")});

  if (healthy(row, stride)) return;
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
    emit(rows + row * statistics_slots, 1, tick, callback, every);
  }
}

}  // namespace ganforge
