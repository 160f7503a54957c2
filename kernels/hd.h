// Functions that both backends compile.
#pragma once

#ifdef __CUDACC__
#define GANFORGE_HD __host__ __device__
#else
#define GANFORGE_HD
#endif
