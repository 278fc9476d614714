/* What threads.h and pool.h use of Windows, as its documentation declares it: enough to parse the
   branches for MSVC where there is no Windows SDK. */
#ifndef CRNN_STUB_WINDOWS_H
#define CRNN_STUB_WINDOWS_H
#define WINAPI __stdcall
#define INFINITE 0xffffffff
typedef unsigned long DWORD;
typedef int BOOL;
typedef void *HANDLE, *LPVOID, *PVOID;
typedef unsigned char BOOLEAN;
typedef struct {
    PVOID Ptr;
} SRWLOCK, CONDITION_VARIABLE;
typedef DWORD(WINAPI *LPTHREAD_START_ROUTINE)(LPVOID);
void WINAPI InitializeSRWLock(SRWLOCK *);
void WINAPI AcquireSRWLockExclusive(SRWLOCK *);
void WINAPI ReleaseSRWLockExclusive(SRWLOCK *);
void WINAPI InitializeConditionVariable(CONDITION_VARIABLE *);
BOOL WINAPI SleepConditionVariableSRW(CONDITION_VARIABLE *, SRWLOCK *, DWORD, unsigned long);
void WINAPI WakeConditionVariable(CONDITION_VARIABLE *);
HANDLE WINAPI CreateThread(void *, size_t, LPTHREAD_START_ROUTINE, LPVOID, DWORD, DWORD *);
BOOL WINAPI CloseHandle(HANDLE);
BOOL WINAPI SwitchToThread(void);
unsigned long long WINAPI GetTickCount64(void);
#endif
