#include "src/cli/run_folder.h"

#include "src/data/safetensors.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <system_error>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

constexpr auto step_prefix = "step-";

[[noreturn]] void fail(const char* doing, const fs::path& path, const std::error_code& error) {
  throw FormatError(fmt::format("cannot {} {}: {}", doing, path.string(), error.message()));
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator at(folder, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) found.push_back(at->path());
  if (error) fail("read", folder, error);
  return found;
}

/// The number of "step-000500" + extension; −1 for other names.
std::int64_t step_of(const fs::path& file, const char* extension) {
  const std::string name = file.stem().string();
  if (file.extension() != extension || !name.starts_with(step_prefix)) return -1;
  std::int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + std::string(step_prefix).size(), end, step);
  return error == std::errc() && at == end ? step : -1;
}

/// In order of their steps.
std::vector<Checkpoint> checkpoints_in(const fs::path& folder) {
  std::vector<Checkpoint> found;
  for (const fs::path& file : entries(folder))
    if (const std::int64_t step = step_of(file, ".safetensors"); step >= 0) found.push_back({step, file});
  std::ranges::sort(found, {}, &Checkpoint::step);
  return found;
}

std::string printable(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') c = '-';
  return name.substr(0, 80);
}

/// One more than the highest number that an entry begins with.
int next_number(const fs::path& out) {
  int next = 0;
  for (const fs::path& entry : entries(out)) {
    const std::string name = entry.filename().string();
    int number = 0;
    const auto [at, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && number < 1'000'000'000 && at - name.data() >= 5 && *at == '-')
      next = std::max(next, number + 1);
  }
  return next;
}

}  // namespace

RunFolder RunFolder::create(const fs::path& out, const std::string& name) {
  std::error_code error;
  fs::create_directories(out, error);
  if (error) fail("make the folder", out, error);
  for (int number = next_number(out);; ++number) {
    const RunFolder run(out / fmt::format("{:05}-{}", number, printable(name)));
    const bool made = fs::create_directory(run.path(), error);
    if (error) fail("make the folder", run.path(), error);
    if (made) return run;  // else another process was faster
  }
}

RunFolder RunFolder::open(const fs::path& run_or_checkpoint) {
  std::error_code error;
  fs::path path = fs::absolute(run_or_checkpoint).lexically_normal();
  if (!fs::exists(path, error))
    throw FormatError(fmt::format("{}: no such run folder or checkpoint", run_or_checkpoint.string()));
  if (!fs::is_directory(path, error)) {
    if (path.parent_path().filename() != "checkpoints" || step_of(path, ".safetensors") < 0)
      throw FormatError(fmt::format(
          "{}: not a checkpoint in a run folder (RUN/checkpoints/step-000500.safetensors), which resuming needs",
          run_or_checkpoint.string()));
    path = path.parent_path().parent_path();
  }
  if (!path.has_filename()) path = path.parent_path();  // without a slash at the end
  const RunFolder run(path.lexically_proximate(fs::current_path()));
  if (!fs::is_regular_file(run.config(), error))
    throw FormatError(fmt::format("{}: not a run folder, it has no config.toml", run_or_checkpoint.string()));
  return run;
}

fs::path RunFolder::sample(std::int64_t step) const {
  return path_ / "samples" / fmt::format("{}{:06}.png", step_prefix, step);
}

fs::path RunFolder::checkpoint(std::int64_t step) const {
  return path_ / "checkpoints" / fmt::format("{}{:06}.safetensors", step_prefix, step);
}

void RunFolder::make_folders() const {
  std::error_code error;
  for (const char* folder : {"samples", "checkpoints"}) {
    fs::create_directory(path_ / folder, error);
    if (error) fail("make the folder", path_ / folder, error);
  }
}

void RunFolder::keep_checkpoints(std::int64_t count) const {
  const std::vector<Checkpoint> all = checkpoints_in(path_ / "checkpoints");
  std::error_code error;
  for (std::size_t i = 0; i + static_cast<std::size_t>(count) < all.size(); ++i) {
    fs::remove(all[i].path, error);
    if (error) fail("remove", all[i].path, error);
  }
}

void RunFolder::cut_back(std::int64_t step) const {
  make_folders();
  std::error_code error;
  const auto remove = [&](const fs::path& file) {
    fs::remove(file, error);
    if (error) fail("remove", file, error);
  };
  for (const fs::path& folder : {path_, path_ / "samples", path_ / "checkpoints"})
    for (const fs::path& file : entries(folder))
      if (file.filename().string().starts_with(".ganforge-") && file.extension() == ".tmp") remove(file);
  for (const fs::path& file : entries(path_ / "samples"))
    if (step_of(file, ".png") > step) remove(file);
  for (const Checkpoint& later : checkpoints_in(path_ / "checkpoints")) {
    if (later.step <= step) continue;
    fs::rename(later.path, later.path.string() + ".unused", error);
    if (error) fail("rename", later.path, error);
  }
}

void RunFolder::remove() const {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Checkpoint newest_checkpoint(const fs::path& run_or_checkpoint, std::vector<std::string>& notices) {
  std::error_code error;
  if (!fs::exists(run_or_checkpoint, error))
    throw FormatError(fmt::format("{}: no such run folder or checkpoint", run_or_checkpoint.string()));
  if (!fs::is_directory(run_or_checkpoint, error))
    return {step_of(run_or_checkpoint, ".safetensors"), run_or_checkpoint};

  const fs::path folder = run_or_checkpoint / "checkpoints";
  if (!fs::is_directory(folder, error))
    throw FormatError(fmt::format("{}: not a run folder, it has no checkpoints", run_or_checkpoint.string()));
  std::vector<Checkpoint> all = checkpoints_in(folder);
  std::string first_fault;
  while (!all.empty()) {
    try {
      read_safetensors(all.back().path);
      return all.back();
    } catch (const FormatError& fault) {
      if (first_fault.empty()) first_fault = fault.what();
      all.pop_back();
      if (!all.empty())
        notices.push_back(fmt::format("{}; using the one before, of step {}", fault.what(), all.back().step));
    }
  }
  if (!first_fault.empty()) throw FormatError(fmt::format("{}; and there is no whole one before it", first_fault));
  throw FormatError(fmt::format("{}: no checkpoint yet; start again with `ganforge train --config {}`", folder.string(),
                                (run_or_checkpoint / "config.toml").string()));
}

fs::path best_checkpoint(const fs::path& run) {
  const fs::path best = RunFolder::open(run).best_checkpoint();
  std::error_code error;
  if (!fs::is_regular_file(best, error))
    throw FormatError(fmt::format("{}: no such file: a run keeps its best checkpoint if it is trained with --eval-every",
                                  best.string()));
  return best;
}

}  // namespace ganforge
