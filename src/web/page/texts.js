// The texts of the page, in English and Chinese.

import { now } from "./clock.js";
import { read, write } from "./store.js";

const KEY = "polls.language";

const en = {
  language: "English",
  skip: "Skip to the content",
  main: "Main",
  questions: "Questions",
  ask: "Ask",
  signIn: "Sign in",
  signUp: "Sign up",
  signOut: "Sign out",
  account: "Account",
  admin: "Users",
  api: "API",
  tagline: "Ask anything. See what people think.",
  lead: "Ask a question, share the link, and watch the votes come in.",
  askQuestion: "Ask a question",
  browse: "Browse all questions",
  openNow: "Open now",

  search: "Search",
  status: "Status",
  all: "Any",
  open: "Open",
  scheduled: "Scheduled",
  closed: "Closed",
  deleted: "Deleted",
  whose: "Show",
  everybodys: "All questions",
  mine: "My questions",
  sort: "Sort by",
  newest: "Newest first",
  oldest: "Oldest first",
  closing: "Closing soon",
  more: "Show more",
  nothing: "No questions here yet.",
  nothingFound: "No questions found.",
  found: { one: "{n} question", other: "{n} questions" },
  foundMore: "The first {n} questions",

  by: "by {name}",
  somebody: "a deleted account",
  ballots: { one: "{n} voter", other: "{n} voters" },
  votes: { one: "{n} vote", other: "{n} votes" },
  moreChoices: { one: "{n} more choice", other: "{n} more choices" },
  sortByVotes: "Sort by votes",
  opens: "opens {when}",
  closes: "closes {when}",
  closedWhen: "closed {when}",
  justNow: "just now",
  chooseExactly: { one: "Choose one.", other: "Choose {n}." },
  chooseUpTo: "Choose up to {max}.",
  chooseBetween: "Choose {min} to {max}.",
  vote: "Vote",
  change: "Change my vote",
  withdraw: "Withdraw my vote",
  signInToVote: "Sign in to vote",
  voted: "You voted {when}.",
  votedFinal: "You voted {when}. Votes on this question are final.",
  counted: "Your vote has been counted.",
  unchanged: "You have already voted like this.",
  chosenOf: "{n} of {max} chosen",
  notCounted: "Not counted yet. Press “{button}” to have it counted.",
  notCountedSignIn: "Not counted yet. Sign in or sign up first; your choice is kept.",
  choiceGone: "A choice that you had selected has been removed.",
  questionChanged: "The question has been changed.",
  votingOpen: "Voting is open.",
  changed: "Your vote has been changed.",
  withdrawn: "Your vote has been withdrawn.",
  yours: "your vote",
  hiddenAfterVote: "The results are shown once you have voted.",
  hiddenAfterClose: "The results are shown once voting has closed.",
  hiddenAuthor: "Only the author can see the results.",
  notOpenYet: "Voting opens {when}.",
  isDeleted: "This question has been deleted. Only its author and admins can see it.",
  gone: "This question has just been deleted.",
  live: "Live",
  polling: "Updated every few seconds",
  waiting: "Connecting…",
  final: "Final",
  leads: "{choice} leads with {share}.",
  tied: "{n} choices are tied.",

  share: "Share",
  shareTitle: "Share this question",
  link: "Link",
  embedCode: "Embed code",
  picture: "Picture, for Markdown",
  copy: "Copy",
  copied: "Copied.",
  copyByHand: "Press Ctrl+C to copy.",
  send: "Send to…",
  close: "Close",

  manage: "Your question",
  moderate: "Moderation",
  edit: "Edit",
  askAgain: "Ask again",
  closeVoting: "Close voting",
  closeSure: "Close voting now? Nobody can vote until you reopen it.",
  reopen: "Reopen",
  reopenSure: "Let people vote again?",
  remove: "Delete",
  removeSure: "Delete this question? It can be restored later, with its votes.",
  removeCheck: "Delete it together with its votes",
  restore: "Restore",
  nowClosed: "Voting is closed.",
  nowOpen: "Voting is open again.",
  nowDeleted: "The question has been deleted.",
  nowRestored: "The question has been restored.",
  cancel: "Cancel",
  tickFirst: "Tick this to go on.",

  newQuestion: "New question",
  editQuestion: "Edit question",
  question: "Question",
  description: "Description",
  optional: "optional",
  choices: "Choices",
  choiceNumber: "Choice {n}",
  addChoice: "Add a choice",
  pasteHint: "Paste a list to add a choice for each line.",
  pasted: "{n} choices pasted.",
  removeChoice: "Remove choice {n}",
  moveUp: "Move choice {n} up",
  moveDown: "Move choice {n} down",
  answers: "Voters choose",
  oneChoice: "One choice",
  severalChoices: "Several choices",
  moreOptions: "More options",
  min: "At least",
  max: "At most",
  noLimit: "no limit",
  howMany: "How many choices",
  opensAt: "Voting opens",
  closesAt: "Voting closes",
  closesAtNew: "New closing time",
  localTime: "In your time zone, {zone}.",
  visibility: "Who can see the results",
  always: "Everyone, at any time",
  after_vote: "Voters; everyone after voting closes",
  after_close: "Everyone, after voting closes",
  author: "Only me",
  allowChange: "Voters can change or withdraw their vote",
  publish: "Publish",
  save: "Save",
  saved: "Saved.",
  settled: "People have already voted. You can still change the description, the closing time and the order of the choices, and add choices.",
  draftRestored: "Your draft has been restored.",
  draftOutdated: "Your draft has been restored. The question has been changed since you began it: check everything before you save.",
  discardDraft: "Discard draft",
  discardSure: "Discard what you have written here?",

  name: "Name",
  email: "Email",
  phone: "Phone",
  password: "Password",
  passwordHint: "8 to 128 characters.",
  username: "Email or phone",
  noAccount: "No account yet?",
  haveAccount: "Already have an account?",
  welcome: "Welcome, {name}.",
  wrongCredentials: "Wrong email, phone number or password.",
  noRegistration: "Only the operator of this server can create accounts.",
  signedOut: "You are signed out.",

  profile: "Profile",
  newPassword: "New password",
  currentPassword: "Current password",
  changePassword: "Change password",
  passwordChanged: "Your password has been changed. You are signed out everywhere else.",
  sessions: "Where you are signed in",
  thisDevice: "this device",
  you: "you",
  unknownClient: "Unknown device",
  lastUsed: "last used {when}",
  since: "signed in {when}",
  joined: "joined {when}",
  signOutThere: "End session",
  signOutEverywhere: "Sign out everywhere",
  everywhereSure: "Sign out on all devices, including this one?",
  myQuestions: "My questions",
  deleteAccount: "Delete account",
  deleteWarning: "Your name, email, phone number and password will be erased. Your questions and votes will stay, without your name.",
  deleteSure: "Delete your account? This cannot be undone.",
  deleteCheck: "I understand that my account cannot be restored",
  accountDeleted: "Your account has been deleted.",

  users: "Users",
  role: "Role",
  roleUser: "User",
  roleAdmin: "Admin",
  disabled: "Disabled",
  deletedQuestions: "Deleted questions",
  adminsOnly: "Only admins can see this.",

  notFound: "Page not found",
  notFoundText: "The address may be wrong, or the content has been deleted.",
  home: "Go to the start page",
  trouble: "Something went wrong",
  unreachable: "The server cannot be reached. Your change may or may not have been saved.",
  tryAgain: "Try again",
  lost: "The server cannot be reached. Trying again…",
  slow: "The server has not answered yet. Waiting…",
  back: "Connected again.",
  tooMany: "Too many attempts. Try again {when}.",
  stale: "Somebody else has changed this in the meantime. Reload the page to see the changes.",
  requestId: "Request {id}",
  embedVote: "Vote",
  poweredBy: "by polls",
};

const zh = {
  language: "中文",
  skip: "跳到内容",
  main: "主导航",
  questions: "全部投票",
  ask: "新建投票",
  signIn: "登录",
  signUp: "注册",
  signOut: "退出登录",
  account: "账号",
  admin: "用户管理",
  api: "API",
  tagline: "发起投票，听听大家怎么说",
  lead: "写下问题，分享链接，实时查看结果。",
  askQuestion: "新建投票",
  browse: "浏览全部投票",
  openNow: "进行中的投票",

  search: "搜索",
  status: "状态",
  all: "全部",
  open: "进行中",
  scheduled: "未开始",
  closed: "已结束",
  deleted: "已删除",
  whose: "范围",
  everybodys: "全部投票",
  mine: "我发起的投票",
  sort: "排序",
  newest: "最新发布",
  oldest: "最早发布",
  closing: "即将结束",
  more: "加载更多",
  nothing: "暂无投票",
  nothingFound: "没有找到相关投票",
  found: "共 {n} 个投票",
  foundMore: "已显示前 {n} 个投票",

  by: "{name} 发起",
  somebody: "已注销用户",
  ballots: "{n} 人投票",
  votes: "{n} 票",
  moreChoices: "还有 {n} 个选项",
  sortByVotes: "按票数排序",
  opens: "{when}开始",
  closes: "{when}结束",
  closedWhen: "{when}结束",
  justNow: "刚刚",
  chooseExactly: { one: "单选", other: "多选，请选 {n} 项" },
  chooseUpTo: "多选，最多选 {max} 项",
  chooseBetween: "多选，请选 {min} 至 {max} 项",
  vote: "投票",
  change: "修改投票",
  withdraw: "撤回投票",
  signInToVote: "登录后投票",
  voted: "您已投票（{when}）。",
  votedFinal: "您已投票（{when}），不可修改。",
  counted: "投票成功",
  unchanged: "您已投过这一票，无需重复提交",
  chosenOf: "已选 {n} / {max} 项",
  notCounted: "尚未计票，请点击“{button}”提交。",
  notCountedSignIn: "尚未计票，请先登录或注册，您的选择会保留。",
  choiceGone: "您选中的一个选项已被删除。",
  questionChanged: "投票内容已更新",
  votingOpen: "投票已开始",
  changed: "投票已修改",
  withdrawn: "投票已撤回",
  yours: "您的选择",
  hiddenAfterVote: "投票后可查看结果。",
  hiddenAfterClose: "投票结束后公布结果。",
  hiddenAuthor: "结果仅发起人可见。",
  notOpenYet: "投票将于 {when} 开始。",
  isDeleted: "该投票已删除，仅发起人和管理员可见。",
  gone: "该投票刚刚被删除",
  live: "实时更新",
  polling: "每隔几秒更新",
  waiting: "连接中…",
  final: "最终结果",
  leads: "“{choice}”以 {share} 领先。",
  tied: "{n} 个选项并列第一。",

  share: "分享",
  shareTitle: "分享投票",
  link: "链接",
  embedCode: "嵌入代码",
  picture: "图片（Markdown）",
  copy: "复制",
  copied: "已复制",
  copyByHand: "请按 Ctrl+C 复制",
  send: "发送到…",
  close: "关闭",

  manage: "管理投票",
  moderate: "管理员操作",
  edit: "编辑",
  askAgain: "再次发起",
  closeVoting: "结束投票",
  closeSure: "确定现在结束投票吗？重新开放之前，任何人都不能再投票。",
  reopen: "重新开放",
  reopenSure: "确定重新开放投票吗？",
  remove: "删除",
  removeSure: "确定删除该投票吗？之后可以连同投票记录一起恢复。",
  removeCheck: "连同已有的投票记录一起删除",
  restore: "恢复",
  nowClosed: "投票已结束",
  nowOpen: "投票已重新开放",
  nowDeleted: "投票已删除",
  nowRestored: "投票已恢复",
  cancel: "取消",
  tickFirst: "请先勾选此项。",

  newQuestion: "新建投票",
  editQuestion: "编辑投票",
  question: "投票标题",
  description: "补充说明",
  optional: "选填",
  choices: "选项",
  choiceNumber: "选项 {n}",
  addChoice: "添加选项",
  pasteHint: "可粘贴多行文字，每行一个选项。",
  pasted: "已粘贴 {n} 个选项",
  removeChoice: "删除选项 {n}",
  moveUp: "上移选项 {n}",
  moveDown: "下移选项 {n}",
  answers: "投票方式",
  oneChoice: "单选",
  severalChoices: "多选",
  moreOptions: "更多设置",
  min: "最少选",
  max: "最多选",
  noLimit: "不限",
  howMany: "可选数量",
  opensAt: "开始时间",
  closesAt: "结束时间",
  closesAtNew: "新的结束时间",
  localTime: "按您所在的时区（{zone}）。",
  visibility: "谁可以查看结果",
  always: "所有人，随时可见",
  after_vote: "投票后可见，结束后所有人可见",
  after_close: "所有人，结束后可见",
  author: "仅自己可见",
  allowChange: "允许修改或撤回投票",
  publish: "发布",
  save: "保存",
  saved: "已保存",
  settled: "已有人投票，只能修改补充说明、结束时间和选项顺序，或添加选项。",
  draftRestored: "已恢复您的草稿。",
  draftOutdated: "已恢复您的草稿。投票在此期间有改动，请核对后再保存。",
  discardDraft: "放弃草稿",
  discardSure: "确定放弃已填写的内容吗？",

  name: "昵称",
  email: "邮箱",
  phone: "手机号",
  password: "密码",
  passwordHint: "8 至 128 个字符。",
  username: "邮箱或手机号",
  noAccount: "还没有账号？",
  haveAccount: "已有账号？",
  welcome: "欢迎，{name}！",
  wrongCredentials: "账号或密码错误。",
  noRegistration: "本站未开放注册，账号由管理员创建。",
  signedOut: "您已退出登录",

  profile: "个人资料",
  newPassword: "新密码",
  currentPassword: "当前密码",
  changePassword: "修改密码",
  passwordChanged: "密码已修改，其他设备均已退出登录",
  sessions: "登录设备",
  thisDevice: "当前设备",
  you: "我",
  unknownClient: "未知设备",
  lastUsed: "最近使用：{when}",
  since: "登录于{when}",
  joined: "注册于{when}",
  signOutThere: "退出该设备",
  signOutEverywhere: "退出所有设备",
  everywhereSure: "确定退出所有设备（包括当前设备）吗？",
  myQuestions: "我发起的投票",
  deleteAccount: "注销账号",
  deleteWarning: "您的昵称、邮箱、手机号和密码将被清除。您发起的投票和投票记录会保留，但不再显示您的昵称。",
  deleteSure: "确定注销账号吗？此操作无法撤销。",
  deleteCheck: "我已了解，注销后账号无法恢复",
  accountDeleted: "账号已注销",

  users: "用户管理",
  role: "角色",
  roleUser: "普通用户",
  roleAdmin: "管理员",
  disabled: "停用",
  deletedQuestions: "已删除的投票",
  adminsOnly: "仅管理员可以查看。",

  notFound: "页面不存在",
  notFoundText: "链接可能有误，或内容已被删除。",
  home: "返回首页",
  trouble: "操作失败",
  unreachable: "无法连接服务器，不确定操作是否成功。",
  tryAgain: "重试",
  lost: "无法连接服务器，正在重试…",
  slow: "服务器尚未响应，正在等待…",
  back: "已重新连接",
  tooMany: "操作过于频繁，请{when}再试。",
  stale: "内容已被他人修改，请刷新页面查看。",
  requestId: "请求编号：{id}",
  embedVote: "投票",
  poweredBy: "由 polls 提供",
};

/** Problems for which the page has other words than the server, whose texts are for programmers. */
const problems = {
  en: {
    unauthenticated: "Sign in first.",
    voting_not_open: "Voting has not opened yet.",
    already_voted: "You have already voted, and votes on this question are final.",
    ballot_final: "Votes on this question are final.",
    overloaded: "The server is busy. Try again in a moment.",
    outcome_unknown: "Your change may or may not have been saved. Reload the page to see.",
    shutting_down: "The server is restarting. Try again in a moment.",
  },
  zh: {
    malformed_request: "请求无效。",
    unauthenticated: "请先登录。",
    forbidden: "您没有权限执行此操作。",
    results_hidden: "结果暂不可见。",
    not_found: "内容不存在或已被删除。",
    request_timeout: "网络太慢，请重试。",
    account_taken: "该邮箱或手机号已被注册。",
    voting_not_open: "投票尚未开始。",
    voting_closed: "投票已结束。",
    already_voted: "您已投票，不可修改。",
    ballot_final: "本投票不允许撤回。",
    quota_exceeded: "您的账号已达到使用上限。",
    last_admin: "至少需要保留一名管理员。",
    payload_too_large: "内容过长。",
    invalid_fields: "部分内容填写有误。",
    internal: "服务器出错了。",
    overloaded: "服务器繁忙，请稍后再试。",
    outcome_unknown: "不确定操作是否成功，请刷新页面查看。",
    shutting_down: "服务器正在重启，请稍后再试。",
  },
};

/** Errors of fields: the server's text, and the page's in English and Chinese. */
const rules = [
  [/^must have (\d+) to (\d+) char.*/, "Use $1 to $2 characters.", "请输入 $1 至 $2 个字符。"],
  [/^must have at most (\d+) char.*/, "Use at most $1 characters.", "最多 $1 个字符。"],
  [/^must have at least (\d+) char.*/, "Use at least $1 characters that are not in your name, email or phone number.", "除昵称、邮箱和手机号中的内容外，至少还需 $1 个字符。"],
  [/^must have (\d+) to (\d+) items/, "A question needs $1 to $2 choices.", "请填写 $1 至 $2 个选项。"],
  [/^must have a char.*/, "Use at least one visible character.", "请至少输入一个可见字符。"],
  [/^must not contain.*/, "Line breaks and control characters are not allowed.", "不能包含换行或控制字符。"],
  [/^must end each.*/, "Each change of the writing direction must end.", "文字方向控制符须成对使用。"],
  [/^must be an email.*/, "Enter a valid email address.", "请输入有效的邮箱地址。"],
  [/^must be a valid phone.*/, "Enter a valid phone number.", "请输入有效的手机号。"],
  [/^is not the password/, "This is not your current password.", "密码错误。"],
  [/^must not be one.*/, "This password is too common.", "密码过于常见。"],
  [/^must differ.*choice (\d+).*/, "This is the same as choice $1.", "与选项 $1 重复。"],
  [/^must differ.*/, "This is the same as another choice.", "与其他选项重复。"],
  [/^must be at most the number.*/, "There are not so many choices.", "没有这么多选项。"],
  [/^must be at most .*?(\d+)$/, "This can be $1 at most.", "不能大于 $1。"],
  [/^must be (\d+) to (\d+)/, "Enter a number from $1 to $2.", "请输入 $1 至 $2 之间的数字。"],
  [/^must lie.*/, "Choose a time in the future.", "请选择将来的时间。"],
  [/^must be later.*/, "Voting must close after it opens.", "结束时间须晚于开始时间。"],
];

const languages = { en, zh };
let language = read(KEY) ?? preferred();
if (!languages[language]) language = "en";

function preferred() {
  const asked = new URLSearchParams(location.search).get("lang");
  const liked = [asked, ...navigator.languages].map((tag) => tag?.slice(0, 2).toLowerCase());
  return liked.find((tag) => languages[tag]) ?? "en";
}

export const current = () => language;

/** The other language. */
export const other = () => (language === "en" ? "zh" : "en");
export const nameOf = (tag) => languages[tag].language;
export const tagOf = (tag) => (tag === "zh" ? "zh-CN" : "en");

/** Chooses a language and remembers it. */
export function choose(tag) {
  language = tag;
  write(KEY, tag);
  announce();
}

/** Tells the document its language. */
export function announce() {
  document.documentElement.lang = tagOf(language);
}

/** A text with values for its `{names}`; `n` selects singular or plural. */
export function t(key, values = {}) {
  let text = languages[language][key];
  if (typeof text === "object") {
    const form = new Intl.PluralRules("en").select(values.n);
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? number(values[name]) : values[name],
  );
}

/** What somebody has written, for the middle of a text of the other direction (Unicode isolates). */
export const isolated = (text) => `\u2068${text}\u2069`;

export const number = (value) => new Intl.NumberFormat(tagOf(language)).format(value);

export const percent = (share) =>
  new Intl.NumberFormat(tagOf(language), { style: "percent", maximumFractionDigits: 1 }).format(share);

/** A relative time such as "in 3 hours" or "yesterday", or a date. */
export function when(moment) {
  const seconds = (new Date(moment) - now()) / 1000;
  if (seconds < .5 && seconds > -45) return t("justNow");
  const units = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7]];
  let value = seconds;
  for (const [unit, size] of units) {
    if (Math.abs(value) < size) {
      const format = new Intl.RelativeTimeFormat(tagOf(language), { numeric: "auto" });
      return format.format(Math.round(value), unit);
    }
    value /= size;
  }
  return date(moment, { dateStyle: "medium" });
}

/** A date and time. */
export const date = (moment, style = { dateStyle: "medium", timeStyle: "short" }) =>
  new Intl.DateTimeFormat(tagOf(language), style).format(new Date(moment));

/** A date and time with the time zone. */
export const exact = (moment) => date(moment, {
  year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short",
});

/** What a problem says, in the page's language. */
export function explain(problem) {
  if (problem.code === "stale") return t("stale");
  if (problem.code === "has_ballots") return t("settled");
  if (problem.code === "rate_limited") {
    return t("tooMany", { when: when(now() + Math.max(problem.after, 1) * 1000) });
  }
  return problems[language][problem.code] ?? problem.message;
}

/** What is wrong with one field, as a sentence. */
export function explainField({ message }) {
  const rule = rules.find(([pattern]) => pattern.test(message));
  if (rule) return message.replace(rule[0], rule[language === "en" ? 1 : 2]);
  return language === "en" ? `${message[0].toUpperCase()}${message.slice(1)}.` : "此项填写有误。";
}
