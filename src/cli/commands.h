// The commands of the program, one a file.
#pragma once

#include "src/cli/arguments.h"

namespace ganforge {

Command train_command();
Command sample_command();
Command eval_command();
Command train_classifier_command();
Command info_command();
Command bench_command();
Command selftest_command();
Command data_convert_command();
Command data_inspect_command();

}  // namespace ganforge
