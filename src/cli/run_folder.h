// The folder of a training run:
//
//   runs/00000-seed-dense-fashion-mnist/
//     config.toml    complete: `ganforge train --config` repeats the run
//     run.json       how it was started: arguments, versions, device, seed
//     metrics.jsonl  one object a line
//     losses.svg
//     events.jsonl   only if something went wrong
//     samples/step-000500.png
//     checkpoints/step-000500.safetensors
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ganforge {

struct Checkpoint {
  std::int64_t step;
  std::filesystem::path path;
};

class RunFolder {
 public:
  /// Makes out/00000-name, or with the next free number. Throws FormatError if it cannot.
  static RunFolder create(const std::filesystem::path& out, const std::string& name);
  /// The run of a run folder or of one of its checkpoints. Throws FormatError if it is none.
  static RunFolder open(const std::filesystem::path& run_or_checkpoint);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path run_json() const { return path_ / "run.json"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path losses() const { return path_ / "losses.svg"; }
  std::filesystem::path events() const { return path_ / "events.jsonl"; }
  std::filesystem::path sample(std::int64_t step) const;
  std::filesystem::path checkpoint(std::int64_t step) const;

  /// Makes the folders of samples and checkpoints if they are missing.
  void make_folders() const;
  /// Removes all but the last checkpoints.
  void keep_checkpoints(std::int64_t count) const;
  /// Removes samples of later steps and what an interrupted process left half-written; renames checkpoints of later
  /// steps to
  /// *.unused.
  void cut_back(std::int64_t step) const;
  void remove() const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

/// The newest checkpoint of a run folder that is whole, or the one named. `notices` receives a line about each that is
/// damaged. Throws FormatError if there is none.
Checkpoint newest_checkpoint(const std::filesystem::path& run_or_checkpoint, std::vector<std::string>& notices);

}  // namespace ganforge
