/* Whether this build is watched by the thread sanitizer, which some code must allow for. */
#ifndef TIDEGATE_ENGINE_THREAD_SANITIZER_H
#define TIDEGATE_ENGINE_THREAD_SANITIZER_H

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif

#endif
