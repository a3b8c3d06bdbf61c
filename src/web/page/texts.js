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
  lead: "Put a question, share the link, and watch the answers come in.",
  askQuestion: "Ask a question",
  browse: "Browse all questions",
  openNow: "Open now",

  search: "Search",
  status: "Status",
  all: "All",
  open: "Open",
  scheduled: "Scheduled",
  closed: "Closed",
  deleted: "Deleted",
  whose: "Whose",
  everybodys: "Everybody’s",
  mine: "Mine",
  sort: "Order",
  newest: "Newest first",
  oldest: "Oldest first",
  closing: "Closing first",
  more: "Show more",
  nothing: "No questions here yet.",
  nothingFound: "No question matches.",
  found: { one: "{n} question", other: "{n} questions" },
  foundMore: "The first {n} questions",

  by: "by {name}",
  somebody: "a deleted account",
  ballots: { one: "{n} ballot", other: "{n} ballots" },
  votes: { one: "{n} vote", other: "{n} votes" },
  opens: "opens {when}",
  closes: "closes {when}",
  closedWhen: "closed {when}",
  chooseExactly: { one: "Choose one.", other: "Choose {n}." },
  chooseUpTo: "Choose up to {max}.",
  chooseBetween: "Choose {min} to {max}.",
  vote: "Vote",
  change: "Change my vote",
  withdraw: "Withdraw my vote",
  signInToVote: "Sign in to vote",
  voted: "You voted {when}.",
  votedFinal: "You voted {when}. Ballots on this question are final.",
  counted: "Your vote is counted.",
  unchanged: "This is your vote already.",
  chosenOf: "{n} of {max} chosen",
  notCounted: "Not counted yet. Press “{button}” to have it counted.",
  notCountedSignIn: "Not counted yet. Sign in or sign up first; your choice is kept.",
  choiceGone: "A choice that you had selected was removed.",
  questionChanged: "The question has been changed.",
  votingOpen: "Voting is open.",
  changed: "Your vote is changed.",
  withdrawn: "Your vote is withdrawn.",
  yours: "your vote",
  hiddenAfterVote: "The results are shown once you have voted.",
  hiddenAfterClose: "The results are shown once voting has closed.",
  hiddenAuthor: "Only the author sees the results.",
  notOpenYet: "Voting opens {when}.",
  isDeleted: "This question is deleted. Only its author and admins see it.",
  gone: "This question was deleted meanwhile.",
  live: "Live",
  polling: "Live, every few seconds",
  waiting: "Connecting …",
  final: "Final",
  leads: "{choice} leads with {share}.",
  tied: "{n} choices are tied.",

  share: "Share",
  shareTitle: "Share this question",
  link: "Link",
  embedCode: "To embed it in a page",
  picture: "As a picture, in Markdown",
  copy: "Copy",
  copied: "Copied.",
  copyByHand: "Press Ctrl+C to copy.",
  send: "Send to …",
  close: "Close",

  manage: "Your question",
  moderate: "Moderation",
  edit: "Edit",
  closeVoting: "Close voting",
  closeSure: "Close voting now? The tally stays as it is until you reopen it.",
  reopen: "Reopen",
  reopenSure: "Let people vote again?",
  remove: "Delete",
  removeSure: "Delete this question? It and its ballots can be restored.",
  restore: "Restore",
  nowClosed: "Voting is closed.",
  nowOpen: "Voting is open again.",
  nowDeleted: "The question is deleted.",
  nowRestored: "The question is back.",
  cancel: "Cancel",

  newQuestion: "A new question",
  editQuestion: "Edit the question",
  question: "Question",
  description: "Description",
  optional: "optional",
  choices: "Choices",
  choiceNumber: "Choice {n}",
  addChoice: "Add a choice",
  removeChoice: "Remove choice {n}",
  moveUp: "Move choice {n} up",
  moveDown: "Move choice {n} down",
  min: "At least",
  max: "At most",
  howMany: "How many may be chosen",
  opensAt: "Voting opens",
  closesAt: "Voting closes",
  closesAtNew: "New end",
  localTime: "In your time zone, {zone}.",
  visibility: "Who sees the results",
  always: "Everyone, at any time",
  after_vote: "Who has voted; everyone once closed",
  after_close: "Everyone, once closed",
  author: "Only me",
  allowChange: "Votes may be changed and withdrawn",
  publish: "Ask it",
  save: "Save",
  saved: "Saved.",
  settled: "People have voted already. Only the description, the end, and the order of choices can still be changed, and choices added.",

  name: "Name",
  email: "Email",
  phone: "Phone",
  password: "Password",
  passwordHint: "8 to 128 characters.",
  username: "Email or phone",
  noAccount: "No account yet?",
  haveAccount: "An account already?",
  welcome: "Welcome, {name}.",
  wrongCredentials: "These credentials are not valid.",
  noRegistration: "New accounts are made by the operator of this server.",
  signedOut: "You are signed out.",

  profile: "Profile",
  newPassword: "New password",
  currentPassword: "Current password",
  changePassword: "Change the password",
  passwordChanged: "The password is changed. You are signed out everywhere else.",
  sessions: "Where you are signed in",
  thisDevice: "here",
  unknownClient: "an unknown client",
  lastUsed: "last used {when}",
  since: "since {when}",
  signOutThere: "Sign out there",
  signOutEverywhere: "Sign out everywhere",
  everywhereSure: "Sign out on all devices, this one too?",
  myQuestions: "My questions",
  deleteAccount: "Delete the account",
  deleteWarning: "Your name, email, phone and password are erased. Your questions and votes stay, without your name.",
  deleteSure: "Really delete your account? This cannot be undone.",
  accountDeleted: "Your account is deleted.",

  users: "Users",
  role: "Role",
  roleUser: "User",
  roleAdmin: "Admin",
  disabled: "Disabled",
  deletedQuestions: "Deleted questions",
  adminsOnly: "Only admins may see this.",

  notFound: "There is nothing here",
  notFoundText: "The address may be wrong, or what was here is deleted.",
  home: "To the start",
  trouble: "This did not work",
  unreachable: "The server cannot be reached. It is not known whether this was done.",
  tryAgain: "Try again",
  lost: "The server cannot be reached. Trying again …",
  slow: "The server has not answered yet. Waiting …",
  back: "Connected again.",
  tooMany: "Too many attempts. Try again {when}.",
  stale: "Somebody has changed it meanwhile. Load it again to see how.",
  requestId: "Request {id}",
  embedVote: "Vote",
  poweredBy: "by polls",
};

const zh = {
  language: "中文",
  skip: "跳到内容",
  main: "主导航",
  questions: "问题",
  ask: "提问",
  signIn: "登录",
  signUp: "注册",
  signOut: "退出登录",
  account: "账号",
  admin: "用户",
  api: "API",
  tagline: "提个问题,听听大家的想法。",
  lead: "写下问题,分享链接,实时查看结果。",
  askQuestion: "发起投票",
  browse: "浏览全部问题",
  openNow: "正在进行",

  search: "搜索",
  status: "状态",
  all: "全部",
  open: "进行中",
  scheduled: "未开始",
  closed: "已结束",
  deleted: "已删除",
  whose: "范围",
  everybodys: "所有人的",
  mine: "我的",
  sort: "排序",
  newest: "最新",
  oldest: "最早",
  closing: "即将结束",
  more: "显示更多",
  nothing: "这里还没有问题。",
  nothingFound: "没有符合条件的问题。",
  found: "{n} 个问题",
  foundMore: "前 {n} 个问题",

  by: "{name} 发起",
  somebody: "已注销用户",
  ballots: "{n} 人投票",
  votes: "{n} 票",
  opens: "{when}开始",
  closes: "{when}结束",
  closedWhen: "{when}结束",
  chooseExactly: { one: "单选。", other: "请选 {n} 项。" },
  chooseUpTo: "最多选 {max} 项。",
  chooseBetween: "请选 {min} 至 {max} 项。",
  vote: "投票",
  change: "修改投票",
  withdraw: "撤回投票",
  signInToVote: "登录后投票",
  voted: "您已于{when}投票。",
  votedFinal: "您已于{when}投票。本问题不允许修改投票。",
  counted: "投票成功。",
  unchanged: "您已投过这一票，无需重复提交。",
  chosenOf: "已选 {n} / {max} 项",
  notCounted: "尚未计票，请点击“{button}”提交。",
  notCountedSignIn: "尚未计票，请先登录或注册，您的选择会保留。",
  choiceGone: "您选中的一个选项已被删除。",
  questionChanged: "问题内容已更新。",
  votingOpen: "投票已开始。",
  changed: "投票已修改。",
  withdrawn: "投票已撤回。",
  yours: "您的选择",
  hiddenAfterVote: "投票后可见结果。",
  hiddenAfterClose: "投票结束后公布结果。",
  hiddenAuthor: "仅发起人可见结果。",
  notOpenYet: "投票将于{when}开始。",
  isDeleted: "该问题已删除,仅发起人和管理员可见。",
  gone: "该问题刚刚被删除。",
  live: "实时",
  polling: "实时,每隔数秒更新",
  waiting: "连接中…",
  final: "最终结果",
  leads: "{choice} 以 {share} 领先。",
  tied: "{n} 个选项并列。",

  share: "分享",
  shareTitle: "分享这个问题",
  link: "链接",
  embedCode: "嵌入网页",
  picture: "Markdown 图片",
  copy: "复制",
  copied: "已复制。",
  copyByHand: "请按 Ctrl+C 复制。",
  send: "发送到…",
  close: "关闭",

  manage: "管理问题",
  moderate: "管理",
  edit: "编辑",
  closeVoting: "结束投票",
  closeSure: "现在结束投票吗?重新开放之前,结果不再变动。",
  reopen: "重新开放",
  reopenSure: "重新开放投票吗?",
  remove: "删除",
  removeSure: "删除这个问题吗?问题和选票可以恢复。",
  restore: "恢复",
  nowClosed: "投票已结束。",
  nowOpen: "投票已重新开放。",
  nowDeleted: "问题已删除。",
  nowRestored: "问题已恢复。",
  cancel: "取消",

  newQuestion: "新问题",
  editQuestion: "编辑问题",
  question: "问题",
  description: "说明",
  optional: "选填",
  choices: "选项",
  choiceNumber: "选项 {n}",
  addChoice: "添加选项",
  removeChoice: "删除选项 {n}",
  moveUp: "上移选项 {n}",
  moveDown: "下移选项 {n}",
  min: "至少选",
  max: "至多选",
  howMany: "可选数量",
  opensAt: "开始时间",
  closesAt: "结束时间",
  closesAtNew: "新的结束时间",
  localTime: "您所在的时区:{zone}。",
  visibility: "谁能看到结果",
  always: "所有人,随时可见",
  after_vote: "投票后可见;结束后所有人可见",
  after_close: "结束后所有人可见",
  author: "仅自己可见",
  allowChange: "允许修改和撤回投票",
  publish: "发布",
  save: "保存",
  saved: "已保存。",
  settled: "已有人投票。只能修改说明、结束时间和选项顺序,或添加选项。",

  name: "姓名",
  email: "邮箱",
  phone: "手机号",
  password: "密码",
  passwordHint: "8 至 128 个字符。",
  username: "邮箱或手机号",
  noAccount: "还没有账号?",
  haveAccount: "已有账号?",
  welcome: "欢迎,{name}。",
  wrongCredentials: "账号或密码不正确。",
  noRegistration: "本站账号由管理员创建。",
  signedOut: "您已退出登录。",

  profile: "个人资料",
  newPassword: "新密码",
  currentPassword: "当前密码",
  changePassword: "修改密码",
  passwordChanged: "密码已修改,其他设备均已退出登录。",
  sessions: "登录设备",
  thisDevice: "本机",
  unknownClient: "未知设备",
  lastUsed: "最近使用:{when}",
  since: "登录于{when}",
  signOutThere: "退出该设备",
  signOutEverywhere: "退出所有设备",
  everywhereSure: "退出所有设备(包括本机)吗?",
  myQuestions: "我的问题",
  deleteAccount: "注销账号",
  deleteWarning: "您的姓名、邮箱、手机号和密码将被清除。问题和选票会以匿名形式保留。",
  deleteSure: "确定注销账号吗?此操作无法撤销。",
  accountDeleted: "账号已注销。",

  users: "用户",
  role: "角色",
  roleUser: "普通用户",
  roleAdmin: "管理员",
  disabled: "停用",
  deletedQuestions: "已删除的问题",
  adminsOnly: "仅管理员可见。",

  notFound: "页面不存在",
  notFoundText: "地址可能有误,或者内容已被删除。",
  home: "返回首页",
  trouble: "操作未成功",
  unreachable: "无法连接服务器,不确定操作是否已完成。",
  tryAgain: "重试",
  lost: "无法连接服务器,正在重试…",
  slow: "服务器尚未响应，正在等待…",
  back: "已重新连接。",
  tooMany: "尝试次数过多,请{when}再试。",
  stale: "内容已被他人修改,请重新加载。",
  requestId: "请求编号 {id}",
  embedVote: "投票",
  poweredBy: "polls 投票",
};

/** Problems in Chinese; in English the server's text is shown. */
const problems = {
  unauthenticated: "请先登录。",
  forbidden: "您没有权限执行此操作。",
  results_hidden: "结果暂不可见。",
  not_found: "内容不存在或已删除。",
  account_taken: "该邮箱或手机号已被注册。",
  voting_not_open: "投票尚未开始。",
  voting_closed: "投票已结束。",
  already_voted: "您已投票,本问题不允许修改。",
  ballot_final: "本问题不允许撤回投票。",
  has_ballots: "已有人投票,无法再修改此项。",
  quota_exceeded: "提问额度已用完。",
  last_admin: "至少需要保留一名管理员。",
  invalid_fields: "部分内容填写有误。",
  internal: "服务器出错了。",
  overloaded: "服务器繁忙,请稍后再试。",
  outcome_unknown: "不确定操作是否已完成,请刷新查看。",
  shutting_down: "服务器正在重启,请稍后再试。",
};

/** Field errors in Chinese. */
const rules = [
  [/^must have (\d+) to (\d+) char.*/, "长度须为 $1 至 $2 个字符"],
  [/^must have at most (\d+) char.*/, "最多 $1 个字符"],
  [/^must have (\d+) to (\d+) items/, "须有 $1 至 $2 项"],
  [/^must name (\d+) to (\d+) .*/, "请选择 $1 至 $2 项"],
  [/^must name (\d+) .*/, "请选择 $1 项"],
  [/^must be an email.*/, "请填写有效的邮箱地址"],
  [/^must be a valid.*/, "请填写有效的手机号"],
  [/^is not the password/, "密码不正确"],
  [/^must not be.*/, "过于常见"],
  [/.* beside.*/, "不能与个人信息相近"],
  [/^must not contain.*/, "不能包含换行或控制字符"],
  [/^must differ.*/, "与其他选项重复"],
  [/^must be at most .*?(\d+)$/, "不能大于 $1"],
  [/^must be (\d+) to (\d+)/, "须为 $1 至 $2"],
  [/^must lie.*/, "须为将来的时间"],
  [/^must be later.*/, "须晚于开始时间"],
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

export const number = (value) => new Intl.NumberFormat(tagOf(language)).format(value);

export const percent = (share) =>
  new Intl.NumberFormat(tagOf(language), { style: "percent", maximumFractionDigits: 1 }).format(share);

/** A relative time such as "in 3 hours" or "yesterday", or a date. */
export function when(moment) {
  const seconds = (new Date(moment) - now()) / 1000;
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
  if (problem.code === "rate_limited") {
    return t("tooMany", { when: when(now() + Math.max(problem.after, 1) * 1000) });
  }
  const translated = language === "zh" && problems[problem.code];
  return translated || problem.message;
}

/** What is wrong with one field, as a sentence. */
export function explainField({ message, text }) {
  if (text) return text;
  if (language === "zh") {
    const rule = rules.find(([pattern]) => pattern.test(message));
    if (rule) return `${message.replace(...rule)}。`;
  }
  return `${message[0].toUpperCase()}${message.slice(1)}.`;
}
