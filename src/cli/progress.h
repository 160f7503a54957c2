// What a person sees while training goes on.
#pragma once

#include <ganforge/gan.h>

#include <chrono>
#include <string>

namespace ganforge {

/// Speed and time left.
class Meter {
 public:
  /// `images`, `step`: where training begins now. Time before that does not count as training.
  void start(std::int64_t step, std::int64_t images);
  void update(const Stats& stats);

  double images_per_s() const { return images_per_s_; }
  /// Of training since the first start().
  double steps_per_s() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Mark {
    Clock::time_point time;
    std::int64_t images = 0;
  };
  Mark old_, recent_;  // the speed is that since `old_`, which lies a few seconds back
  double images_per_s_ = 0, training_seconds_ = 0;
  Clock::time_point last_;
  std::int64_t first_step_ = -1, last_step_ = 0;
};

class Progress {
 public:
  /// `style` is auto (a live line on a terminal, else plain), plain (a line every few seconds) or none.
  Progress(const std::string& style, std::int64_t steps);
  ~Progress();
  Progress(const Progress&) = delete;

  void show(const Stats& stats, const Meter& meter);
  /// A line of its own, unless the style is none.
  void say(const std::string& line);
  /// Ends the live line, so that other text can follow.
  void end_line();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Style { live, plain, none } style_;
  std::int64_t steps_;
  Clock::time_point next_;
  bool open_ = false;
};

/// "1:02:03", "4:05"
std::string clock_text(double seconds);

}  // namespace ganforge
