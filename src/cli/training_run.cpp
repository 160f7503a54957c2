#include "src/cli/training_run.h"

#include "src/cli/events_file.h"
#include "src/cli/open_device.h"
#include "src/cli/signals.h"
#include "src/cli/trained.h"
#include "src/data/atomic_file.h"
#include "src/data/safetensors.h"

#include <ganforge/error.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <limits>

namespace ganforge {
namespace {

constexpr std::int64_t grid_samples = 64, scatter_samples = 2500;

/// The first multiple of `every` behind `step`; never if that is 0.
std::int64_t next_multiple(std::int64_t step, std::int64_t every) {
  return every > 0 ? step / every * every + every : std::numeric_limits<std::int64_t>::max();
}

std::string describe(const Dataset& data) {
  return fmt::format("{} samples {}", data.count(), data.sample().str());
}

/// For a command that people copy.
std::string shell_word(const std::string& path) {
  return path.find_first_of(" '\"$\\") == std::string::npos ? path : fmt::format("'{}'", path);
}

}  // namespace

TrainingRun::TrainingRun(const Config& config, RunFolder folder, Device& device, const Dataset& data,
                         double data_diversity, Trainer& trainer)
    : config_(config),
      folder_(std::move(folder)),
      device_(device),
      data_(data),
      trainer_(trainer),
      begin_(std::chrono::steady_clock::now()),
      collapse_(config.training.objective, data_diversity) {}

void TrainingRun::begin(const std::vector<std::string>& arguments) {
  try {
    folder_.make_folders();
    write_atomically(folder_.config(), to_toml(config_));
    write_records(arguments);
    metrics_.emplace(folder_.metrics());
    if (config_.eval_every > 0) eval_.emplace(config_, device_);
    if (config_.sample_every > 0) write_sample();
  } catch (...) {
    metrics_.reset();
    folder_.remove();
    throw;
  }
}

void TrainingRun::resume(const std::optional<Checkpoint>& checkpoint, const std::vector<std::string>& arguments,
                         std::vector<std::string>& notices) {
  std::map<std::string, std::string> metadata;
  if (checkpoint) metadata = trainer_.load(checkpoint->path);
  if (trainer_.step() > config_.steps)
    throw ConfigError(fmt::format("{} is at step {} already, past the {} steps that are wanted; give more --steps",
                                  checkpoint->path.string(), trainer_.step(), config_.steps));
  metrics_.emplace(folder_.metrics());
  for (const auto& [key, now] : describe(device_))
    if (checkpoint && metadata[key] != now)
      notices.push_back(
          fmt::format("{} was '{}' and is '{}' now: the last bits of the results may differ", key, metadata[key], now));
  // The order of the samples follows from their number.
  if (const std::string was = metadata["data"], now = describe(data_); !was.empty() && was != now)
    notices.push_back(fmt::format("the data were {} and are {} now: the run goes on with others", was, now));
  metrics_->cut_back(trainer_.step());
  folder_.cut_back(trainer_.step());
  resume_best();
  if (config_.eval_every > 0) eval_.emplace(config_, device_);
  if (to_toml(config_) != to_toml(load_config(folder_.config()))) write_atomically(folder_.config(), to_toml(config_));
  write_records(arguments);
  seconds_before_ = metrics_->seconds();
  saved_step_ = trainer_.step();
}

/// run.json: an object for every process that worked on the run, in the order of time.
void TrainingRun::write_records(const std::vector<std::string>& arguments) {
  std::ifstream file(folder_.run_json());
  nlohmann::json record = nlohmann::json::parse(file, nullptr, false);
  if (!record.is_object()) record = nlohmann::json::object();
  nlohmann::json process = describe(device_);
  process["arguments"] = arguments;
  process["ganforge"] = GANFORGE_VERSION;
  process["cuda"] = GANFORGE_CUDA != 0;
  process["seed"] = config_.training.seed;
  process["data"] = {{"name", data_.name()}, {"samples", data_.count()}, {"sample", data_.sample().str()}};
  process["from_step"] = trainer_.step();
  process["to_step"] = config_.steps;
  process["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  if (record.empty())
    record = process;
  else
    record["resumed"].push_back(process);
  write_atomically(folder_.run_json(), record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

int TrainingRun::finish(const std::string& progress) {
  catch_stop_signals();
  progress_.emplace(progress, config_.steps);
  begin_ = std::chrono::steady_clock::now();
  const std::int64_t first = trainer_.step(), total = config_.steps;
  const std::int64_t images_per_step = samples_per_step(config_.training);
  try {
    train_to_the_end();
  } catch (const DivergedError&) {
    progress_->end_line();
    metrics_->write_losses(folder_.losses(), folder_.path().filename().string());
    throw;
  }
  progress_->end_line();
  if (saved_step_ != trainer_.step()) save();
  metrics_->write_losses(folder_.losses(), folder_.path().filename().string());

  if (const int signal = stop_signal(); signal && trainer_.step() < total) {
    fmt::print("stopped after step {} and saved; go on with: ganforge train --resume {}\n", trainer_.step(),
               shell_word(folder_.path().string()));
    return 128 + signal;
  }
  const double spent = seconds();
  fmt::print("{} steps in {}, {:.0f} images/s\n", total - first, clock_text(spent),
             static_cast<double>((total - first) * images_per_step) / std::max(spent, 1e-9));
  if (std::error_code error; std::filesystem::exists(folder_.sample(total), error))
    fmt::print("  samples     {}\n", folder_.sample(total).string());
  fmt::print("  losses      {}\n  checkpoint  {}\n", folder_.losses().string(), folder_.checkpoint(total).string());
  if (best_score_) fmt::print("  best        {} ({})\n", folder_.best_checkpoint().string(), best_text_);
  return 0;
}

void TrainingRun::train_to_the_end() {
  const std::int64_t total = config_.steps, images_per_step = samples_per_step(config_.training);
  while (trainer_.step() < total && !stop_signal()) {
    const std::int64_t step = trainer_.step();
    const std::int64_t sample_at = next_multiple(step, config_.sample_every),
                       save_at = next_multiple(step, config_.checkpoint_every),
                       eval_at = next_multiple(step, config_.eval_every),
                       until = std::min({total, sample_at, save_at, eval_at});
    meter_.start(step, step * images_per_step);
    trainer_.run(
        until - step, [this](const Stats& stats) { report(stats); }, config_.metrics_every,
        [] { return stop_signal() != 0; });
    if (trainer_.step() < until) break;
    if (until == save_at || until == total) save();  // first what cannot be made again
    if (config_.sample_every > 0 && (until == sample_at || until == total)) write_sample();
    if (eval_ && (until == eval_at || until == total)) progress_->say(evaluate());
  }
}

void TrainingRun::report(const Stats& stats) {
  meter_.update(stats);
  metrics_->append(stats, meter_.images_per_s(), seconds_before_ + seconds());
  progress_->show(stats, meter_);
  warn(stats.step, collapse_.look(stats));
}

/// Once on the terminal and in events.jsonl.
void TrainingRun::warn(std::int64_t step, const std::optional<CollapseWatch::Event>& event) {
  if (!event) return;
  if (progress_) progress_->end_line();
  fmt::print(stderr, "ganforge: {}\n", event->reason);
  add_event(folder_.events(), step, event->name, {{"reason", event->reason}});
}

void TrainingRun::write_sample() {
  // Of seed 0: what `ganforge sample` shows.
  const std::int64_t count = data_.sample() == Shape{2} ? scatter_samples : grid_samples;
  const Samples picture = trainer_.picture(count);
  write_picture(folder_.sample(trainer_.step()), picture, config_.data);
  // A grid of classes or codes has the same latents again and again.
  const bool grid = picture.columns > 0;
  warn(trainer_.step(), collapse_.look(trainer_.step(), grid ? trainer_.sample(count) : picture));
  metrics_->write_losses(folder_.losses(), folder_.path().filename().string());
}

void TrainingRun::save() {
  metrics_->flush();  // never behind the checkpoint, even if the power fails
  trainer_.save(folder_.checkpoint(trainer_.step()), metadata());
  folder_.keep_checkpoints(config_.keep_checkpoints);
  saved_step_ = trainer_.step();
}

std::map<std::string, std::string> TrainingRun::metadata() {
  std::map<std::string, std::string> metadata = describe(device_);
  metadata["config"] = to_toml(config_);
  metadata["data"] = describe(data_);
  return metadata;
}

std::string TrainingRun::evaluate() {
  const std::int64_t step = trainer_.step();
  const TrainingEval::Result result = eval_->measure(trainer_);
  auto metrics = result.metrics;
  metrics.emplace_back("n", static_cast<double>(config_.eval_samples));
  metrics_->append_metrics(step, step * samples_per_step(config_.training), metrics, seconds_before_ + seconds());
  const std::string line = fmt::format("step {}  {}", step, result.text);
  if (!std::isfinite(result.score) || (best_score_ && result.score >= *best_score_)) return line;
  metrics_->flush();
  std::map<std::string, std::string> about = metadata();
  about["eval_score"] = fmt::format("{}", result.score);
  about["eval"] = line;
  trainer_.save(folder_.best_checkpoint(), about);
  best_score_ = result.score;
  best_text_ = line;
  return line + "  the best so far";
}

void TrainingRun::resume_best() {
  std::error_code error;
  if (!std::filesystem::exists(folder_.best_checkpoint(), error)) return;
  std::map<std::string, std::string> about = read_safetensors(folder_.best_checkpoint()).metadata;
  if (std::atoll(about["step"].c_str()) > trainer_.step()) {
    std::filesystem::rename(folder_.best_checkpoint(), folder_.best_checkpoint().string() + ".unused");
    return;
  }
  best_score_ = std::atof(about["eval_score"].c_str());
  best_text_ = about["eval"];
}

double TrainingRun::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

}  // namespace ganforge
