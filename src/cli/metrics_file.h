// metrics.jsonl: what a run reports, one JSON object a line.
#pragma once

#include <ganforge/gan.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {

/// Opens or makes the file and holds it: a second process gets a FormatError.
class MetricsFile {
 public:
  explicit MetricsFile(const std::filesystem::path& path);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;

  /// Drops the lines of later steps, and a last line that was cut short.
  void cut_back(std::int64_t step);
  /// A line is there whole or not at all. Throws FormatError if it cannot be written.
  void append(const Stats& stats, double images_per_s, double seconds);
  /// A line of what was measured after a step.
  void append_metrics(std::int64_t step, std::int64_t images,
                      const std::vector<std::pair<std::string, double>>& metrics, double seconds);
  /// Waits until the lines are on the disk.
  void flush();
  /// The chart of what is in the file.
  void write_losses(const std::filesystem::path& path, const std::string& title) const;
  /// `seconds` of the last line, or 0.
  double seconds() const { return seconds_; }

 private:
  [[noreturn]] void fail(const char* doing, int error) const;
  void write_line(const std::string& line);
  void note(std::int64_t step, double d_loss, double g_loss, double seconds);

  std::filesystem::path path_;
  int file_ = -1;
  std::int64_t size_ = 0;  // bytes of whole lines
  std::vector<double> steps_, d_losses_, g_losses_;
  double seconds_ = 0;
};

}  // namespace ganforge
